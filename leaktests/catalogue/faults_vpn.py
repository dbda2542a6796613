"""V. The VPN dies, hangs, loses its tunnel, its server, its key or its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from leaktests.engine.fault import Bench, Faults
from leaktests.engine.target import vpn_settings
from netchain import programs
from netchain.lab import internet
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Endpoint, Qube, Role
from netchain.vpn import wireguard
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.decode import decode

topic = Faults(Role.VPN_PROXY)
_PROGRAM = "wireguard-go"
_ELSEWHERE = "203.0.113.66:51820"
"""What a forged answer for the VPN's server names (class R04)."""
_SILENT = """table inet silent
delete table inet silent
table inet silent {
  chain i { type filter hook input priority 0; policy accept; udp dport 51820 counter drop; }
}
"""


def _vpn(bench: Bench) -> Qube:
    return bench.qube(Role.VPN_PROXY)


def _tunnel(bench: Bench) -> Link:
    return Link(_vpn(bench).name, None, tunnel=True)


def _process(bench: Bench) -> str:
    """Of the VPN's program; a VPN in the kernel has none, and then there is no such fault."""
    bench.wait(lambda: bool(bench.pids(_vpn(bench), _PROGRAM)), f"there is no {_PROGRAM}")
    return bench.pids(_vpn(bench), _PROGRAM)[0]


def _wg(bench: Bench, *words: str, stdin: bytes = b"") -> str:
    return bench.run(_vpn(bench), "wg", *words, stdin=stdin)


def _peer(bench: Bench) -> str:
    return bench.site.vpns[_vpn(bench).name].public_key


def _configured(bench: Bench, other: WireGuard | None = None) -> None:
    """Give the VPN another configuration, or its own again."""
    vpn = other or bench.site.vpns[_vpn(bench).name]
    command = wireguard.configure(vpn.setconf())
    bench.run(_vpn(bench), *command.argv, stdin=command.stdin)


def _routes(bench: Bench) -> str:
    """The ways into the tunnel."""
    both = (bench.run(_vpn(bench), "ip", f, "route", "show", "default", "dev", TUNNEL)
            for f in ("-4", "-6"))  # fmt: skip
    return "".join(both)


@topic.fault("V01", "the VPN's program is killed", degrades=Role.VPN_PROXY)
def killed(bench: Bench) -> Iterator[None]:
    pid = _process(bench)
    bench.run(_vpn(bench), "kill", "-KILL", pid)
    bench.wait(lambda: not bench.state_of(_vpn(bench), pid), f"{_PROGRAM} still runs")
    yield


@topic.fault("V02", "the VPN's program hangs", degrades=Role.VPN_PROXY)
def hung(bench: Bench) -> Iterator[None]:
    pid = _process(bench)
    bench.run(_vpn(bench), "kill", "-STOP", pid)
    bench.wait(lambda: bench.state_of(_vpn(bench), pid) == "T", f"{_PROGRAM} is not stopped")
    yield
    bench.run(_vpn(bench), "kill", "-CONT", pid)


@topic.fault("V03", "the tunnel's interface is deleted", degrades=Role.VPN_PROXY)
def deleted(bench: Bench) -> Iterator[None]:
    bench.expect_outage(_tunnel(bench))
    bench.run(_vpn(bench), "ip", "link", "del", TUNNEL)
    gone = ("sh", "-c", f"test -e /sys/class/net/{TUNNEL} || echo gone")
    bench.wait(lambda: bool(bench.run(_vpn(bench), *gone)), "the tunnel is still there")
    yield


@topic.fault("V04", "the tunnel's interface goes down", degrades=Role.VPN_PROXY)
def down(bench: Bench) -> Iterator[None]:
    bench.expect_outage(_tunnel(bench))
    bench.run(_vpn(bench), "ip", "link", "set", TUNNEL, "down")
    bench.wait(lambda: not _routes(bench), "there are still routes into the tunnel")
    yield


@topic.fault("V04", "the tunnel loses its addresses", degrades=Role.VPN_PROXY)
def addressless(bench: Bench) -> Iterator[None]:
    bench.run(_vpn(bench), "ip", "addr", "flush", "dev", TUNNEL)
    shown = ("ip", "-br", "addr", "show", "dev", TUNNEL)
    bench.wait(lambda: "10." not in bench.run(_vpn(bench), *shown), "it has its address still")
    yield


@topic.fault("V05", "the VPN's server falls silent", degrades=Role.VPN_PROXY)
def silent(bench: Bench) -> Iterator[None]:
    settings = vpn_settings(bench.chain)
    server = next(h for h in internet.HOSTS if settings and h.address4 == settings.endpoint.address)
    rules = partial(bench.netns.keeper.ask, "rules", node=server.node)
    rules(text=_SILENT)
    try:
        bench.wait(lambda: _used(bench, rules), "nothing went to the server meanwhile")
        yield
    finally:
        rules(text="delete table inet silent\n")


def _used(bench: Bench, rules: Callable[..., dict[str, Any]]) -> bool:
    """Whether the server has dropped something of what is sent to it now."""
    use(bench)
    return "counter packets 0 " not in rules(text="list table inet silent", counters=True)["output"]


def use(bench: Bench, port: int = 0, size: int = 0) -> None:
    """Have the VPN carry a packet: a client's segment, which may enter the tunnel, of the flow from
    that port (0: a new one), with `size` bytes of data. (In a VPN in this one, it goes as that
    one's.)"""
    client = innermost(bench)[0]
    site, source = internet.host(internet.SITE).address4, address4(bench.chain, client.name)
    ports = (port or bench.port_number(), 80)
    packet = build.tcp(source, site, *ports, "S", bytes(8), bytes(size))
    frame = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    bench.send(bench.uplink(client), frame, direction=Direction.UP)


def innermost(bench: Bench) -> tuple[Qube, Qube]:
    """The VPN's first client, or that of a VPN in it; and the VPN that it is a client of."""
    vpn = _vpn(bench)
    while (client := bench.chain.clients(vpn.name)[0]).role is Role.VPN_PROXY:
        vpn = client
    return client, vpn


def inside_port(bench: Bench) -> int:
    """The port that `use` goes to in the tunnel: of a web site, or of an inner VPN's server."""
    inner = bench.chain.clients(_vpn(bench).name)[0].vpn
    return inner.settings.endpoint.port if inner and inner.settings else 80


@dataclass(frozen=True)
class Outer:
    """The VPN's flow as the internet sees it: the port that it seems to come from, and to whom."""

    port: int
    server: Endpoint


def outer_flow(bench: Bench) -> Outer:
    settings = vpn_settings(bench.chain)
    assert settings is not None
    tap, isp = bench.site.sensor.tap, bench.uplink(bench.qube(Role.NET)).name
    mark = tap.mark()

    def heard() -> list[int]:
        use(bench)
        flows = [decode(seen.frame) for seen in tap.frames(isp, mark) if not seen.outgoing]
        packed = settings.endpoint.address.packed
        return [flow.sport for flow in flows if flow.destination == packed and flow.sport]

    bench.wait(lambda: bool(heard()), "the VPN sends nothing")
    return Outer(heard()[-1], settings.endpoint)


@topic.fault("V06", "the VPN has a key that its server does not know", degrades=Role.VPN_PROXY)
def wrong_key(bench: Bench) -> Iterator[None]:
    key = bench.run(_vpn(bench), "wg", "genkey").strip()
    _configured(bench, replace(bench.site.vpns[_vpn(bench).name], private_key=Secret(key)))
    bench.wait(lambda: _tried(bench), "nothing was tried with the wrong key")
    yield
    shown = _wg(bench, *wireguard.handshake_command()[1:])
    _configured(bench)
    bench.require(wireguard.last_handshake(shown.encode()) == 0, "the server took the wrong key")


def _tried(bench: Bench) -> bool:
    use(bench)
    shown = _wg(bench, *wireguard.transfer_command()[1:])
    return wireguard.transferred(shown.encode())[1] > 0


@topic.fault("V08", "the VPN's endpoint moves to where a forger points", degrades=Role.VPN_PROXY)
def moved(bench: Bench) -> Iterator[None]:
    """It is sent to the address that a forged answer names (class R04)."""
    _wg(bench, "set", TUNNEL, "peer", _peer(bench), "endpoint", _ELSEWHERE)
    bench.require(_ELSEWHERE in _wg(bench, "show", TUNNEL, "endpoints"), "it did not move")
    use(bench)
    yield
    _configured(bench)


@topic.fault("V18", "the routes into the tunnel are gone")
def gap(bench: Bench) -> Iterator[None]:
    before = _routes(bench)
    for family in ("-4", "-6"):
        bench.run(_vpn(bench), "ip", family, "route", "del", "default", "dev", TUNNEL)
    bench.require(bool(before) and not _routes(bench), "there are still routes into the tunnel")
    use(bench)
    yield


@topic.fault("C01", "a flow of the tunnel goes on when the tunnel is gone", degrades=Role.VPN_PROXY)
def survivor(bench: Bench) -> Iterator[None]:
    """Connection tracking knows the flow; it may not find another way out."""
    flow = bench.port_number()
    tap = bench.site.sensor.tap
    mark = tap.mark()
    use(bench, flow)

    def is_it(seen: Captured) -> bool:
        return decode(seen.frame, seen.link_type).dport == inside_port(bench)

    missing = tap.wait_for(is_it, [_tunnel(bench).name], 10, mark)
    bench.require(not missing, "the flow did not go through the tunnel")
    for service in programs.wanted(bench.chain, bench.site, _vpn(bench)):
        programs.stop(bench.chain, bench.site, _vpn(bench), service)
    for _ in range(100):
        use(bench, flow)
    yield

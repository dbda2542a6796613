"""V, F17. The VPN's server wants new keys, starts anew, loses big packets; the VPN's program is
replaced; and what of a client's TCP is seen outside the tunnel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from leaktests.catalogue import faults_vpn
from leaktests.engine.fault import Bench, Faults
from leaktests.engine.target import vpn_settings
from netchain.lab import internet
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Qube, Role
from netchain.vpn import wireguard
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.decode import decode

topic = Faults(Role.VPN_PROXY)
_BIG = 900
_COPY = "/run/wireguard-go.new"  # of the qube's own
_HOLE = f"""table inet hole {{
    chain f {{
        type filter hook forward priority 0; udp dport 51820 meta length > {_BIG} counter drop;
    }}
    chain b {{
        type filter hook forward priority 1; udp sport 51820 meta length > {_BIG} counter drop;
    }}
}}
"""
_ISN, _STAMP = b"\x5a\x17\xc4\x91\x3e\x8b\x60\xd2", b"\xb7\x2c\x55\xe9\x0d\x9a\x73\x1f"
"""Sequence numbers and timestamps of a client's, each told apart from all else."""
TELLING = (_ISN[:4], _STAMP[:4])


def _vpn(bench: Bench) -> Qube:
    return bench.qube(Role.VPN_PROXY)


def _server(bench: Bench) -> str:
    settings = vpn_settings(bench.chain)
    assert settings is not None
    return next(h.node for h in internet.HOSTS if h.address4 == settings.endpoint.address)


def _answered(bench: Bench) -> None:
    """Make sure that the tunnel carries something both ways."""
    tap, tunnel = bench.site.sensor.tap, Link(_vpn(bench).name, None, tunnel=True).name
    mark = tap.mark()

    def there() -> bool:
        faults_vpn.use(bench)
        heard = (decode(seen.frame, seen.link_type) for seen in tap.frames(tunnel, mark))
        return any(flow.sport == faults_vpn.inside_port(bench) for flow in heard)

    bench.wait(there, "nobody answers in the tunnel")


@topic.fault("V07", "the VPN's server makes new keys in the middle of a session")
def rekeyed(bench: Bench) -> Iterator[None]:
    """A handshake while the old keys are good, as after 120 s; which of both ends begins it makes
    no difference to the keys (V09 has the client's)."""
    settings, server = vpn_settings(bench.chain), _server(bench)
    flow = faults_vpn.outer_flow(bench)
    assert settings is not None and bench.chain.wan is not None
    inner = ",".join(f"{a}/{a.max_prefixlen}" for a in settings.addresses)
    shown = bench.on(server, "wg", "show", TUNNEL, "allowed-ips")
    client = next(k for k, _, ips in (line.partition("\t") for line in shown.splitlines())
                  if f"{settings.addresses[0]}/32" in ips.split())  # fmt: skip
    peer = ("wg", "set", TUNNEL, "peer", client)
    tap, isp = bench.site.sensor.tap, bench.uplink(bench.qube(Role.NET))
    mark = tap.mark()
    bench.on(server, *peer, "remove")
    where = f"{bench.chain.wan.address4}:{flow.port}"
    bench.on(server, *peer, "allowed-ips", inner, "endpoint", where, "persistent-keepalive", "1")
    yield
    bench.on(server, *peer, "persistent-keepalive", "0")
    kinds = {(seen.outgoing, decode(seen.frame).payload[:1]) for seen in tap.frames(isp.name, mark)}
    bench.require({(True, b"\x01"), (False, b"\x02")} <= kinds, "there was no handshake")
    _answered(bench)


@topic.fault("V09", "the VPN's server starts anew, and the VPN connects again",
             degrades=Role.VPN_PROXY)  # fmt: skip
def reconnected(bench: Bench) -> Iterator[None]:
    """The server has forgotten the session. A VPN that is left alone notices after 15 s (WireGuard
    white paper, 6.2 and 6.5); here it is told to begin anew at once."""
    server = _server(bench)
    running = partial(bench.on, server, "sh", "-c", "pgrep -x wireguard-go || true")
    old = running().split()
    bench.require(bool(old), "the server's program does not run")
    bench.on(server, "kill", "-KILL", *old)
    bench.wait(lambda: running().split() not in ([], old), "the server did not start anew")
    command = wireguard.configure(bench.site.vpns[_vpn(bench).name].setconf())
    bench.run(_vpn(bench), *command.argv, stdin=command.stdin)
    _answered(bench)
    yield


@topic.fault("V20", "the VPN's program is taken away under it, then another is put in its place",
             degrades=Role.VPN_PROXY)  # fmt: skip
def replaced(bench: Bench) -> Iterator[None]:
    """As a package manager does it; seen by this qube only. At first what starts in its place ends
    at once, then it is a copy of it that runs."""
    vpn, find = _vpn(bench), 'realpath "$(command -v "$0")"'
    running = partial(bench.pids, vpn, "wireguard-go")
    path, old = bench.run(vpn, "sh", "-c", find, "wireguard-go").strip(), running()
    bench.require(bool(old), "there is no wireguard-go")
    bench.run(vpn, "cp", path, _COPY)
    try:
        bench.run(vpn, "mount", "--bind", "/bin/false", path)
        bench.run(vpn, "kill", "-KILL", *old)
        bench.go_on()
        bench.wait(lambda: not running(), "the old program still runs")
        bench.run(vpn, "mount", "--bind", _COPY, path)
        bench.wait(lambda: bool(running()), "the new program does not run")
        _answered(bench)
        yield
    finally:
        bench.run(vpn, "sh", "-c", f"while umount -l {path} 2>/dev/null; do :; done; rm {_COPY}")


@topic.fault("V14", "packets that are big are lost on the way to the VPN's server, and none tells")
def black_hole(bench: Bench) -> Iterator[None]:
    rules = partial(bench.netns.keeper.ask, "rules", node=internet.ROUTER)
    rules(text=_HOLE)
    try:
        bench.wait(lambda: _lost_a_big_one(bench, rules), "no big packet was lost")
        faults_vpn.use(bench)
        yield
    finally:
        rules(text="delete table inet hole\n")


def _lost_a_big_one(bench: Bench, rules: Callable[..., dict[str, object]]) -> bool:
    faults_vpn.use(bench, size=1200)
    listing = str(rules(text="list chain inet hole f", counters=True)["output"])
    return "counter packets 0 " not in listing


@topic.fault("F17", "TCP with telling numbers and timestamps goes through the tunnel")
def telling(bench: Bench) -> Iterator[None]:
    """They are seen in the tunnel, and in no frame of the VPN's outer flow."""
    (client, vpn), tap = faults_vpn.innermost(bench), bench.site.sensor.tap
    mark = tap.mark()
    site, source = internet.host(internet.SITE).address4, address4(bench.chain, client.name)
    options = b"\x01\x01\x08\x0a" + _STAMP  # no operation twice, timestamps (RFC 7323)
    for _ in range(20):
        packet = build.tcp(source, site, bench.port_number(), 80, "S", _ISN, b"", options)
        frame = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
        bench.send(bench.uplink(client), frame, direction=Direction.UP)
    yield
    bench.site.sensor.settle()
    tunnel = Link(vpn.name, None, tunnel=True).name
    inside = [seen for seen in tap.frames(tunnel, mark) if _tells(seen)]
    bench.require(len(inside) >= 20, "they did not go through the tunnel")
    outer = [bench.uplink(qube).name for qube in (vpn, *bench.chain.upstream(vpn.name))]
    told = [seen for link in outer for seen in tap.frames(link, mark) if _tells(seen)]
    bench.require(not told, f"{len(told)} frames outside the tunnel tell of them")


def _tells(seen: Captured) -> bool:
    return any(part in seen.frame for part in TELLING)

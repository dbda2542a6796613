"""T. Ways that tor itself may take: to its first consensus, to relays by IPv6 or at the VPN's own
server, to an onion service; and a tor of the workstation's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from select import select

from leaktests.engine.fault import Bench, Faults
from leaktests.engine.target import vpn_settings
from netchain import programs
from netchain.backends.base import User
from netchain.lab import tornet
from netchain.model.addressing import address4
from netchain.model.chain import Address, Qube, QubeState, Role
from netchain.tor import torrc
from netchain.wire.build import TCP
from netchain.wire.capture import Captured, Mark
from netchain.wire.decode import decode

topic = Faults(Role.TOR_GATEWAY)
_BEHIND_VPN = frozenset({Role.TOR_GATEWAY, Role.VPN_PROXY})
_TELL_S, _TRY_S, _START_S = 30.0, 20.0, 30.0
_RELAY = next(node for node in tornet.NODES if node.kind == "relay")
_OWN_TOR = """umask 077
mkdir -p /tmp/own-tor
exec tor --defaults-torrc /dev/null -f -
"""


def _gateway(bench: Bench) -> Qube:
    return bench.qube(Role.TOR_GATEWAY)


def _workstation(bench: Bench) -> Qube:
    return next(q for q in bench.chain.clients(_gateway(bench).name))


def _tell(bench: Bench, *lines: str, until: str = "250 closing connection") -> str:
    """What tor says to the lines (control-spec), up to those words; none may be refused."""
    path = torrc.control_socket(bench.site.backend.volume() / "tor")
    said = ""
    with bench.site.backend.connect(bench.chain, _gateway(bench).name, path) as control:
        control.settimeout(_TELL_S)
        control.sendall("".join(f"{line}\r\n" for line in ("AUTHENTICATE", *lines)).encode())
        while until not in said:
            part = control.recv(1 << 16).decode()
            said += part
            bench.require(bool(part), f"tor did not say {until!r}: {said[-200:]}")
    refused = [line for line in said.splitlines() if line[:1] in "45"]
    bench.require(not refused, f"tor refused: {refused}")
    return said


def _tried(bench: Bench, mark: Mark, to: Address | None = None) -> None:
    """Require that tor tries to reach a relay (at that address, if one is given) from `mark` on."""

    def is_it(seen: Captured) -> bool:
        flow = decode(seen.frame, seen.link_type)
        # The flood is sent to other ports.
        relays = flow.protocol == TCP and flow.dport in (9001, 9030) and not seen.outgoing
        return relays and (to is None or flow.destination == to.packed)

    link = bench.uplink(_gateway(bench)).name
    missing = bench.site.sensor.tap.wait_for(is_it, [link], _TRY_S, mark)
    bench.require(not missing, f"tor did not try to reach {to or 'a relay'}")


@topic.fault("T18", "tor starts without a consensus, the VPN down", degrades=Role.VPN_PROXY,
             needs=_BEHIND_VPN)  # fmt: skip
def before_the_vpn(bench: Bench) -> Iterator[None]:
    gateway, vpn = _gateway(bench), bench.qube(Role.VPN_PROXY)
    for qube in (gateway, vpn):
        for service in programs.wanted(bench.chain, bench.site, qube):
            programs.stop(bench.chain, bench.site, qube, service)
    data = bench.site.backend.volume() / "tor"
    bench.run(gateway, "sh", "-c", 'rm -f "$0"/cached-* "$0"/state', str(data))
    mark = bench.site.sensor.tap.mark()
    programs.start(bench.chain, bench.site, gateway)
    _tried(bench, mark)
    bench.changed[gateway.name] = QubeState.DEGRADED
    yield
    programs.stop(bench.chain, bench.site, gateway, torrc.SERVICE)  # `up` starts a fresh one


@contextmanager
def _only_relay(bench: Bench, address: Address) -> Iterator[None]:
    """Tor's only way into its network is a relay at that address, and it was tried."""
    host = f"[{address}]" if address.version == 6 else str(address)
    mark = bench.site.sensor.tap.mark()
    _tell(bench, f"SETCONF UseBridges=1 Bridge={host}:{_RELAY.orport}", "QUIT")
    try:
        _tried(bench, mark, address)
        yield
    finally:
        _tell(bench, "RESETCONF UseBridges Bridge", "QUIT")


@topic.fault("T10", "tor's guard is at the VPN server's address", needs=_BEHIND_VPN)
def guard_at_the_endpoint(bench: Bench) -> Iterator[None]:
    """Such a guard is never reached: no way leads there past the tunnel but the VPN's own."""
    settings = vpn_settings(bench.chain)
    assert settings is not None
    with _only_relay(bench, settings.endpoint.address):
        yield


@topic.fault("T13", "tor reaches a relay by IPv6")
def by_ipv6(bench: Bench) -> Iterator[None]:
    with _only_relay(bench, _RELAY.address6):
        yield


@topic.fault("T15", "an onion service is made in the gateway, and asked for by its name")
def onion_service(bench: Bench) -> Iterator[None]:
    """Its name is known to tor alone; to the workstation it leads nowhere (the gateway's rules)."""
    target = address4(bench.chain, _workstation(bench).name)
    made = f"ADD_ONION NEW:ED25519-V3 Flags=DiscardPK,Detach Port=80,{target}:80"
    said = _tell(bench, "SETEVENTS HS_DESC", made, until="HS_DESC UPLOADED")
    name = said.split("ServiceID=")[1].split()[0]
    try:
        found = bench.run(_workstation(bench), "getent", "ahostsv4", f"{name}.onion")
        mapped = ip_address(found.split()[0]) in torrc.VIRTUAL
        bench.require(mapped, f"tor did not map the name: {found}")
        # Nobody answers behind the service: curl's status does not count.
        ask = ("sh", "-c", 'curl -s -m 3 "http://$0/" || true', f"{name}.onion")
        bench.run(_workstation(bench), *ask)
        yield
    finally:
        _tell(bench, f"DEL_ONION {name}", "QUIT")


@topic.fault("T12", "a tor of the workstation's own connects through the gateway's")
def tor_over_tor(bench: Bench) -> Iterator[None]:
    """It reaches relays only through the gateway's tor."""
    lines = ("DataDirectory /tmp/own-tor", "SocksPort 127.0.0.1:9150", *bench.site.tor_lines)
    source = os.memfd_create("torrc")
    os.write(source, "".join(f"{line}\n" for line in lines).encode())
    os.lseek(source, 0, os.SEEK_SET)
    listen, out = os.pipe()
    node, argv = f"{bench.chain.name}:{_workstation(bench).name}", ("sh", "-c", _OWN_TOR)
    try:
        with bench.netns.keeper.spawn(node, argv, (source, out, out), user=User.PERSON):
            _expect(bench, listen, b"conn_done")
            yield
    finally:
        for fd in (source, listen, out):
            os.close(fd)
        bench.run(_workstation(bench), "sh", "-c", "rm -rf /tmp/own-tor")


def _expect(bench: Bench, fd: int, words: bytes) -> None:
    """Read what a program says until the words come."""
    said = b""
    while words not in said:
        ready, _, _ = select([fd], [], [], _START_S)
        part = os.read(fd, 1 << 16) if ready else b""
        said += part
        bench.require(bool(part), f"it did not say {words.decode()}: {said[-200:]!r}")

"""What is sent on a bench: the catalogue's shots by their way, and flows from before the rules.

Every probe of the catalogue is tried on every way on which somebody could send it at this qube: in
from a client, in from the uplink, from inside the tunnel, from an interface of no group, and by the
qube itself, out of each of its interfaces. What may come of it is `Sender`'s, and `allowed()`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address

from leaktests.catalogue import probes
from leaktests.engine.place import Place, places
from leaktests.engine.shot import Markers, Shot, shots
from leaktests.mutants.bench import Own
from leaktests.mutants.plugged import STRAY
from leaktests.mutants.scenes import BLOCKED, Scene
from netchain.model.addressing import (
    CLIENT_MAC,
    NETVM_MAC,
    TUNNEL,
    UPLINK,
    address4,
    address6,
    downstream_interface,
)
from netchain.model.allowed import Direction, Link, tunnels
from netchain.model.chain import Address, Chain, Role
from netchain.tor.torrc import SOCKS_PORTS
from netchain.wire import build

SEED = 1
WEB: dict[int, Address] = {
    4: ip_address("203.0.113.80"), 6: ip_address("2001:db8:80::80"),
}  # fmt: skip
ERRORS = {4: (3, 11, 12, 4, 5), 6: (1, 2, 3, 4, 100)}
"""ICMP errors of every kind that conntrack knows, the usual ones first; 4 is source quench, 5 a
redirect, 100 for experiments (RFC 4443)."""
USUAL = {4: ERRORS[4][:3], 6: ERRORS[6][:4]}
_NOT_ITS_OWN = frozenset({"F01", "F02", "F03", "F04", "F05", "F18", "P33"})
"""Fragments and lengths that lie, from the workstation itself: the kernel puts fragments together
before its rules and takes them apart again behind them; the next hop drops them."""
_WHOLE, _MOST = 20, 8
_OLD_PORT = 45000


class Sender(StrEnum):
    """Who sends, and so what may come of it."""

    CLIENT = "a client"  # what `allowed()` lets through
    FOREIGN = "somebody outside"  # nothing: nobody asked
    STRANGER = "another program of the qube"  # nothing
    PROGRAM = "the qube's own program"  # what `allowed()` lets out of the uplink
    OLD = "a flow from before the rules"  # nothing


@dataclass(frozen=True)
class Volley:
    """Shots of one kind that go in through `link`, or with `own` are the qube's own; `facts` says
    whether the rules take a program of uid 0 for the role's own."""

    kind: Sender
    link: str
    shots: tuple[Shot, ...]
    own: Own | None = None
    facts: bool = True

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.link}"


@dataclass(frozen=True)
class OldFlow:
    """One flow that was opened while nothing held: `first` came in (or went out) at `way_in`, the
    answer at `way_out`; "" is the qube itself."""

    way_in: str
    way_out: str
    first: bytes
    answer: bytes
    number: int

    @property
    def name(self) -> str:
        return f"{self.way_in or 'itself'} → {self.way_out or 'itself'}"

    def errors(self) -> Iterator[tuple[str, str, bytes]]:
        """Errors about both of its packets, as whoever got it would tell them: from which end, to
        which, and the packet."""
        ends = (self.way_in, self.way_out)
        for (to, by), packet in ((ends, self.first), (ends[::-1], self.answer)):
            version = packet[0] >> 4
            at, size = (12, 4) if version == 4 else (8, 16)
            source, target = packet[at : at + size], packet[at + size : at + 2 * size]
            for kind in ERRORS[version]:
                quoted = bytes(4) + packet
                yield by, to, build.icmp(ip_address(target), ip_address(source), kind, 0, quoted)


def volleys(scene: Scene, markers: Markers) -> list[Volley]:
    """Everything that is sent at the qube of a scene, in order."""
    chain, me = scene.chain, scene.qube
    every = [*places(chain), *_own_places(scene)]
    wanted = [p for p in every if me.name in (p.link.client, p.link.netvm)]
    by_place: dict[Place, list[Shot]] = {}
    for _, group in itertools.groupby(shots(chain, probes(), markers, wanted), _of_one_target):
        for shot in _sample(list(group)):
            by_place.setdefault(shot.place, []).append(shot)
    found = []
    for place, fired in by_place.items():
        link = _interface(scene, place.link)
        outside = (place.link.client == me.name) == (place.direction is Direction.DOWN)
        if outside:
            kind = Sender.CLIENT if place.direction is Direction.UP else Sender.FOREIGN
            found.append(Volley(kind, link, tuple(fired)))
        else:
            whole = scene.role == Role.WORKSTATION
            kept = [shot for shot in fired if not (whole and shot.probe.id in _NOT_ITS_OWN)]
            known = _as_the_vpn(place, markers) if place.role is Role.VPN_PROXY else []
            found += _own_volleys(scene, link, tuple(_packets(kept)), tuple(_packets(known)))
    first = next((v for v in found if v.kind is Sender.CLIENT), None)
    down = next(v for v in found if v.kind is Sender.FOREIGN and v.link == UPLINK)
    stray = (*(first.shots if first else ()), *down.shots)
    found.append(Volley(Sender.FOREIGN, STRAY, stray))
    own = next(v for v in found if v.own is not None and v.own.dev == UPLINK)
    return [*found, Volley(Sender.STRANGER, f"own, out of {STRAY}", own.shots, Own(STRAY, True))]


def _of_one_target(shot: Shot) -> bytes:
    """All packets of a probe from one place to one target have the same marker."""
    return shot.marker


def _sample(fired: list[Shot]) -> list[Shot]:
    """All, but of the sweeps of ports and protocols a few, spread over them: no rule of ours tells
    most of those apart."""
    step = 1 if len(fired) <= _WHOLE else -(-len(fired) // _MOST)
    return fired[::step]


def _own_places(scene: Scene) -> Iterator[Place]:
    """The ends that the engine does not send from: inside the tunnel, and sys-net's uplink."""
    chain, me = scene.chain, scene.qube
    for link in tunnels(chain):
        if link.client == me.name and me.vpn is not None and me.vpn.settings is not None:
            ends = me.vpn.settings.addresses, me.vpn.settings.dns
            own, there = (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])
            mac = NETVM_MAC, CLIENT_MAC
            yield Place(link, Direction.UP, me.role, own, there, *mac, chain)
            yield Place(link, Direction.DOWN, None, there, own, mac[1], mac[0], chain)
    wan = chain.wan
    if me.netvm is None and wan is not None:
        own4 = (wan.address4, wan.address6)
        link = Link(me.name, None)
        gateways = (wan.gateway4, wan.gateway6)
        yield Place(link, Direction.UP, me.role, own4, gateways, CLIENT_MAC, NETVM_MAC, chain)


def _interface(scene: Scene, link: Link) -> str:
    if link.tunnel:
        return TUNNEL
    if link.client == scene.qube.name:
        return UPLINK
    return downstream_interface(scene.chain, link.client)


def _packets(fired: Sequence[Shot]) -> Iterator[Shot]:
    """Those that are IP packets, without their Ethernet header: a raw socket sends no other."""
    for shot in fired:
        kind, packet = shot.frame[12:14], shot.frame[14:]
        if kind in (b"\x08\0", b"\x86\xdd") and len(packet) >= (20 if kind == b"\x08\0" else 40):
            yield Shot(shot.probe, shot.place, shot.target, shot.marker, packet)


def _as_the_vpn(place: Place, markers: Markers) -> list[Shot]:
    """What the VPN itself may send and so no probe does from its qube, for other programs there."""
    own = [replace(p, roles=frozenset({place.role})) for p in probes() if p.classes == ("R03",)]
    return shots(place.chain, own, markers, [place])


def _own_volleys(
    scene: Scene, link: str, fired: tuple[Shot, ...], known: tuple[Shot, ...]
) -> Iterator[Volley]:
    """As the qube's programs send them: the role's own, and others."""
    role, out = scene.role, f"own, out of {link}"
    if role in (Role.VPN_PROXY, BLOCKED):
        yield Volley(Sender.PROGRAM, out, fired, Own(link, marked=True))
        if link == UPLINK and role == Role.VPN_PROXY:
            more = (*fired, *known)
            yield Volley(Sender.STRANGER, out, more, Own(link, marked=False))
            yield Volley(Sender.STRANGER, out, more, Own(link, marked=True), facts=False)
    elif role in (Role.TOR_GATEWAY, Role.WORKSTATION):
        yield Volley(Sender.PROGRAM, out, fired, Own(link, marked=False))
        if link == UPLINK and role == Role.TOR_GATEWAY:
            yield Volley(Sender.STRANGER, out, fired, Own(link, marked=False), facts=False)
    else:
        yield Volley(Sender.STRANGER, out, fired, Own(link, marked=False))


def old_flows(scene: Scene, markers: Markers) -> list[OldFlow]:
    """A flow of each protocol and family between every two ends of the qube, itself included."""
    found = []
    hosts = dict(_hosts(scene))
    kinds = [(_udp, 53 if scene.role == Role.WORKSTATION else 51820), (_tcp, 9001)]
    kinds += [(_tcp, SOCKS_PORTS[0])] if scene.role == Role.TOR_GATEWAY else []
    for version in (4, 6):
        for one, other in itertools.permutations(hosts, 2):
            ends = hosts[one][version], hosts[other][version]
            for make, port in kinds:
                ports = (port, _OLD_PORT + 1) if one == UPLINK else (_OLD_PORT, port)
                number, marker = markers.next()
                found.append(OldFlow(one, other, *make(ends, ports, marker), number))
    return found


def _hosts(scene: Scene) -> Iterator[tuple[str, dict[int, Address]]]:
    """Somebody at each end: whom the role knows where it knows one."""
    chain, me = scene.chain, scene.qube
    wan = chain.wan
    if me.netvm is None and wan is not None and wan.address6 is not None:
        yield "", {4: wan.address4, 6: wan.address6}
    else:
        yield "", _both(chain, me.name)
    web = dict(WEB)
    for qube in (me, *chain.clients(me.name)):
        if qube.vpn is not None and qube.vpn.settings is not None:
            web.setdefault(0, qube.vpn.settings.endpoint.address)
    if 0 in web:
        web[web[0].version] = web[0]
    if scene.role == Role.WORKSTATION and me.netvm is not None:
        web = _both(chain, me.netvm)
    yield UPLINK, web
    if me.vpn is not None:
        yield TUNNEL, dict(WEB)
    for client in chain.clients(me.name):
        yield downstream_interface(chain, client.name), _both(chain, client.name)


def _both(chain: Chain, name: str) -> dict[int, Address]:
    return {4: address4(chain, name), 6: address6(chain, name)}


def _udp(
    ends: tuple[Address, Address], ports: tuple[int, int], marker: bytes
) -> tuple[bytes, bytes]:
    """In WireGuard's words, so that it may be a VPN's."""
    data = b"\x04\0\0\0" + marker + bytes(24)
    return build.udp(*ends, *ports, data), build.udp(*ends[::-1], *ports[::-1], data)


def _tcp(
    ends: tuple[Address, Address], ports: tuple[int, int], marker: bytes
) -> tuple[bytes, bytes]:
    return (build.tcp(*ends, *ports, "PA", marker, b"old"),
            build.tcp(*ends[::-1], *ports[::-1], "PA", marker, b"old"))  # fmt: skip

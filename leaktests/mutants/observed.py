"""What a volley caused, judged: every frame that came out of a link, and all that was delivered.

`allowed()` decides about a frame that came of a client's packet or of the role's own program; of
anybody else's packets nothing may come at all, and nothing but a Tor gateway's ports may be
delivered. A frame without a marker (a reset, a neighbour's answer) must be allowed while the qube's
own programs are still: none of them is at work then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot
from leaktests.mutants.plugged import STRAY
from leaktests.mutants.scenes import BLOCKED, Scene
from leaktests.mutants.traffic import USUAL, OldFlow, Sender, Volley
from netchain.model.addressing import (
    TUNNEL,
    UPLINK,
    address4,
    address6,
    downstream_interface,
    senders_behind,
)
from netchain.model.allowed import (
    ANY4,
    ANY6,
    Direction,
    FlowPattern,
    Kind,
    Link,
    allowed,
)
from netchain.model.chain import QubeState, Role
from netchain.tor.torrc import DNS_PORT, SOCKS_PORTS, TRANS_PORT
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow
from netchain.wire.judge import describe, kind_of, permits

_TO_TOR = frozenset({(6, TRANS_PORT), (17, DNS_PORT), *((6, port) for port in SOCKS_PORTS)})
_ICMP, _ICMP6 = 1, 58
_FLAGS, _SYN = 0x17, 0x02  # fin, syn, rst, ack; and of a segment that opens a flow
_FORWARDING = (Role.VPN_PROXY, Role.FIREWALL, Role.NET)
Seen = tuple[dict[str, list[bytes]], list[bytes]]
OLD = "C02 a flow from before the rules"


@dataclass(frozen=True)
class Breach:
    """Something that may not be: where it was seen, what it was, and the probe that caused it.
    `shot` tells one packet of one volley from all others."""

    where: str
    seen: bytes | str
    probe: str
    shot: str

    @property
    def what(self) -> str:
        """In words: of most breaches nobody asks."""
        return self.seen if isinstance(self.seen, str) else describe(decode(self.seen))

    @property
    def key(self) -> tuple[str, str]:
        return self.where, self.shot


class Judge:
    """Knows what may be on the links of one scene."""

    def __init__(self, scene: Scene, markers: Markers, volleys: Iterable[Volley]) -> None:
        self._scene, self._markers = scene, markers
        self._by_number = {
            markers.of(shot.marker): shot for volley in volleys for shot in volley.shots
        }
        ready: dict[str, QubeState] = {qube.name: QubeState.READY for qube in scene.chain.qubes}
        if scene.role == BLOCKED:
            ready[scene.qube.name] = QubeState.BLOCKED
        self._open = dict(self._patterns(ready))
        self._still = dict(self._open)
        if scene.role in (Role.VPN_PROXY, Role.TOR_GATEWAY, Role.WORKSTATION):
            still: dict[str, QubeState] = {**ready, scene.qube.name: QubeState.BLOCKED}
            self._still[UPLINK] = dict(self._patterns(still))[UPLINK]
        self._everything = tuple(_ANYTHING)
        self._ends = dict(_own_ends(scene))
        self._told = dict(_told_ends(scene))

    def _patterns(
        self, states: Mapping[str, QubeState]
    ) -> Iterator[tuple[str, tuple[FlowPattern, ...]]]:
        chain, me = self._scene.chain, self._scene.qube
        typed = {chain[name].name: state for name, state in states.items()}
        yield UPLINK, allowed(chain, Link(me.name, me.netvm), typed)
        yield TUNNEL, allowed(chain, Link(me.name, None, tunnel=True), typed)
        yield STRAY, ()
        for client in chain.clients(me.name):
            link = Link(client.name, me.name)
            yield downstream_interface(chain, client.name), allowed(chain, link, typed)

    def breaches(self, volley: Volley, seen: Seen) -> Iterator[Breach]:
        captured, delivered = seen
        for link, frames in captured.items():
            for frame in frames:
                shot = self._shot(frame)
                if not self._may_leave(volley, link, frame, shot):
                    yield self._breach(volley, link, frame, shot)
        if volley.own is not None:
            return
        for packet in delivered:
            shot = self._shot(packet)
            if shot is not None and not self._may_be_delivered(volley, packet):
                yield self._breach(volley, "delivered", shot.frame, shot)

    def revived(self, flows: Mapping[int, OldFlow], what: str, seen: Seen) -> Iterator[Breach]:
        """What came of flows from before the rules. An answer to whoever opened one here or further
        down is one, whatever is thought of such flows now; so is a usual error about it."""
        captured, delivered = seen
        for where, packets in (*captured.items(), ("delivered", delivered)):
            for packet in packets:
                flow = flows.get(self._markers.of(packet) or 0)
                if flow is None or (where == "delivered" and self._from_itself(packet)):
                    continue
                back = where == (flow.way_in or "delivered")
                # Errors about the qube's own flows come by its uplink, wherever those go.
                there = "elsewhere" not in what or (not flow.way_in and what.endswith(UPLINK))
                own = flow.way_in not in (UPLINK, TUNNEL) and there
                told = where not in (UPLINK, "delivered") and self._too_big(decode(packet))
                if not (back and own and self._usual(packet, where)) and not told:
                    said = decode(_framed(packet) if where == "delivered" else packet).icmp_type
                    yield Breach(where, f"{what}, {flow.name}", OLD, f"{what} {flow.number} {said}")

    def _usual(self, packet: bytes, where: str) -> bool:
        """No error, or one of the kinds that programs need."""
        flow = decode(_framed(packet) if where == "delivered" else packet)
        if flow.protocol not in (_ICMP, _ICMP6):
            return True
        if self._scene.role == Role.TOR_GATEWAY and where not in (UPLINK, "delivered"):
            return flow.icmp_type == 3
        return flow.icmp_type in USUAL[4 if flow.protocol == _ICMP else 6]

    def _from_itself(self, packet: bytes) -> bool:
        """Over loopback: a refusal that one's own program is told."""
        find = address4 if packet[0] >> 4 == 4 else address6
        source = packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]
        return source == find(self._scene.chain, self._scene.qube.name).packed

    def goes_on(self, flow: OldFlow) -> bool:
        """Whether the rules may take the flow for one that they let be opened themselves."""
        decoded = decode(_framed(flow.first))
        if self._scene.role == Role.TOR_GATEWAY and not flow.way_out and flow.way_in != UPLINK:
            return flow.first[0] >> 4 == 4 and decoded.dport in SOCKS_PORTS
        return permits(self._open[UPLINK], decoded, Direction.UP)

    def _shot(self, frame: bytes) -> Shot | None:
        number = self._markers.of(frame)
        return None if number is None else self._by_number.get(number)

    def _may_leave(self, volley: Volley, link: str, frame: bytes, shot: Shot | None) -> bool:
        direction = Direction.UP if link in (UPLINK, TUNNEL) else Direction.DOWN
        if shot is not None and (volley.kind is Sender.FOREIGN or link == STRAY):
            return False
        flow = decode(frame)
        if volley.own and self._too_big(flow) and direction == "down":
            ends = self._told.get(link, (frozenset(), frozenset()))
            verified = flow.source in ends[0] and flow.destination in ends[1]
            return verified and permits(self._everything, flow, direction)
        if volley.own is not None and kind_of(flow) is Kind.NDP:
            return self._own_ndp(link, frame)
        if shot is None:
            return permits(self._still[link], flow, direction)
        if volley.kind is Sender.CLIENT:
            return permits(self._still[link], flow, direction)
        if volley.kind is Sender.PROGRAM:
            return link == UPLINK and permits(self._open[link], flow, direction)
        return False

    def _too_big(self, flow: Flow) -> bool:
        """What a program of the qube may make up, too: told to an address that is verified."""
        what = (flow.icmp_type, flow.icmp_code) if flow.protocol == _ICMP else (flow.icmp_type, 0)
        return (
            self._scene.role in _FORWARDING and what == (3, 4)
            if flow.protocol == _ICMP
            else (self._scene.role in _FORWARDING and flow.protocol == _ICMP6 and what == (2, 0))
        )

    def _own_ndp(self, link: str, frame: bytes) -> bool:
        """What a program of the qube makes up in the qube's own name ends at the next one."""
        return link in self._ends and frame[21] == 255 and frame[22:38] == self._ends[link]

    def _may_be_delivered(self, volley: Volley, packet: bytes) -> bool:
        if volley.kind is not Sender.CLIENT or self._scene.role != Role.TOR_GATEWAY:
            return False
        flow = decode(_framed(packet))
        begins = flow.tcp_flags is None or flow.tcp_flags & _FLAGS == _SYN
        return begins and (flow.protocol, flow.dport) in _TO_TOR

    def _breach(self, volley: Volley, where: str, what: bytes, shot: Shot | None) -> Breach:
        if shot is None:
            said = describe(decode(what))
            return Breach(where, said, f"({volley.name})", f"{volley.name} {said}")
        probe = name_of(shot.probe)
        return Breach(where, what, probe, f"{volley.name} {volley.facts} {shot.marker.hex()}")


def _framed(packet: bytes) -> bytes:
    return bytes(12) + build.ethertype_of(packet).to_bytes(2) + packet


_ANYTHING = [
    FlowPattern("", kind, direction, everywhere, everywhere)
    for everywhere in (ANY4, ANY6)
    for kind in (Kind.TCP, Kind.UDP, Kind.PING, Kind.ICMP_ERROR)
    for direction in Direction
]
"""Of a packet that was too big, any: what is looked at is that it is quoted in an error."""


def _told_ends(scene: Scene) -> Iterator[tuple[str, tuple[frozenset[bytes], frozenset[bytes]]]]:
    """Of each link to a client: the qube's own addresses, and those that may be told anything."""
    chain, me = scene.chain, scene.qube
    own = frozenset((address4(chain, me.name).packed, address6(chain, me.name).packed))
    for client in chain.clients(me.name):
        behind = senders_behind(chain, client)
        told = frozenset(
            find(chain, q.name).packed for q in behind for find in (address4, address6)
        )
        yield downstream_interface(chain, client.name), (own, told)


def _own_ends(scene: Scene) -> Iterator[tuple[str, bytes]]:
    """The qube's own IPv6 address on each link."""
    chain, me = scene.chain, scene.qube
    own = address6(chain, me.name).packed
    outside = chain.wan.address6 if me.netvm is None and chain.wan else None
    yield UPLINK, outside.packed if outside else own
    for client in chain.clients(me.name):
        yield downstream_interface(chain, client.name), own


def name_of(probe: Probe) -> str:
    return f"{probe.id} {probe.name}"

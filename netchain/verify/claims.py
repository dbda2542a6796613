"""What is claimed of a qube, by its role: for each claim the packets that would break it.

Every claim is about all packets of both families, every state of a flow, every routing table (a
packet may leave to any interface, also to one that is not there yet; but answers go to the clients
that the routes name) and every owner of a socket.
What is said of a wire comes from `allowed()`; docs/security.md has the claims in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from netchain.model import addressing
from netchain.model.allowed import Direction, FlowPattern, Kind, Link, allowed
from netchain.model.chain import Qube, Role
from netchain.model.snapshot import Snapshot
from netchain.nft.fields import ICMP, ICMPV6, TCP, UDP
from netchain.verify.algebra import Bit, any_of, every
from netchain.verify.claim import Claim, Facts, Name
from netchain.verify.packet import DPORT, DST, IP, IP6, SRC, Packet
from netchain.verify.patterns import is_plain, permits
from netchain.verify.routing import takes
from netchain.verify.ways import Way, Ways
from netchain.verify.words import is_value

_FORWARDED_UP = {
    Role.WORKSTATION: Name.NO_FORWARD, Role.TOR_GATEWAY: Name.NO_FORWARD,
    Role.VPN_PROXY: Name.KILL_SWITCH,
    Role.FIREWALL: Name.ENDPOINT_ONLY, Role.NET: Name.ENDPOINT_ONLY,
}  # fmt: skip
_SENT_UP = {
    Role.WORKSTATION: Name.OWN_ONLY, Role.TOR_GATEWAY: Name.TOR_ONLY,
    Role.VPN_PROXY: Name.VPN_ONLY,
    Role.FIREWALL: Name.NOTHING_OF_ITS_OWN, Role.NET: Name.NOTHING_OF_ITS_OWN,
}  # fmt: skip
_WIRED = (addressing.GROUP_UPLINK, addressing.GROUP_DOWNSTREAM, addressing.GROUP_TUNNEL)
_ERRORS = {IP: (ICMP, (3, 4, 5, 11, 12)), IP6: (ICMPV6, (1, 2, 3, 4))}
_NEIGHBOURLY = frozenset({Kind.ARP, Kind.NDP, Kind.MLD})
_CARRIES = frozenset({Role.FIREWALL, Role.NET})
"""Roles that send other qubes' packets on upstream, as they are."""


class Claims:
    """The claims of one qube about one family of packets."""

    def __init__(self, facts: Facts, ways: Ways, snapshot: Snapshot) -> None:
        self._facts, self._ways, self._qube = facts, ways, facts.qube
        self._snapshot = snapshot
        self._routed: dict[int, Bit] = {}
        self._algebra = ways.algebra
        self._lo = (ways.interfaces.number("lo"),)

    def alive(self) -> Iterator[tuple[str, Bit]]:
        """What must be possible, in words, and the packets that would show it: a qube that drops
        everything proves nothing."""
        ways, qube = self._ways, self._qube
        up = Link(qube.name, qube.netvm)
        numbers = ways.interfaces.numbers(addressing.GROUP_UPLINK)
        if qube.role in _CARRIES:
            yield from self._passes(f"{up.name} carries its clients", ways.forwarded, numbers, up)
        elif qube.role is not Role.VPN_PROXY:
            may = self._may_send(up)
            new = ways.sent.packet.is_state("new")
            out = self._out(ways.sent, numbers)
            yield f"it can send over {up.name}", every(self._algebra, [out, may, new])
        else:
            may = self._both(self._may_send(up), ways.sent.packet.is_protocol(UDP))
            yield (
                f"its VPN reaches the endpoint over {up.name}",
                self._both(self._out(ways.sent, numbers), may),
            )
            tunnel = Link(qube.name, None, tunnel=True)
            into = ways.interfaces.numbers(addressing.GROUP_TUNNEL)
            yield from self._passes("clients get into the tunnel", ways.forwarded, into, tunnel)

    def _passes(
        self, words: str, way: Way, numbers: tuple[int, ...], link: Link
    ) -> Iterator[tuple[str, Bit]]:
        """A first packet that is allowed goes out there, and its answer comes back. (Nothing is,
        while nobody behind the qube is open.)"""
        patterns = [p for p in self._allowed(link, Direction.UP) if p.kind not in _NEIGHBOURLY]
        if not patterns:
            return
        listed = permits(way.packet, patterns)
        new, algebra = way.packet.is_state("new"), self._algebra
        yield words, every(algebra, [self._out(way, numbers), listed, new])
        came = way.came.through(way.came.iif, numbers)
        answer = every(algebra, [way.reach, came, way.packet.flow.reply])
        yield f"{words}: answers come back", way.possible(answer)

    def every(self) -> Iterator[Claim]:
        yield from self._upstream()
        yield from self._tunnel()
        for client in self._facts.chain.clients(self._qube.name):
            yield from self._downstream(client)
        yield from self._no_other_way()

    # The uplink

    def _upstream(self) -> Iterator[Claim]:
        """To the netvm, or to the internet, and what comes from there."""
        qube, ways = self._qube, self._ways
        link = Link(qube.name, qube.netvm)
        numbers = ways.interfaces.numbers(addressing.GROUP_UPLINK)
        forwarded, sent = self._out(ways.forwarded, numbers), self._out(ways.sent, numbers)
        allowed_up = permits(ways.forwarded.packet, self._allowed(link, Direction.UP))
        may_pass = allowed_up if qube.role in _CARRIES else self._algebra.false
        yield self._claim(_FORWARDED_UP[qube.role], link, ways.forwarded, forwarded, may_pass)
        may_send = self._may_send(link)
        yield self._claim(_SENT_UP[qube.role], link, ways.sent, sent, may_send)
        errors = self._both(sent, self._is_error(ways.sent.packet))
        yield self._claim(Name.NO_REFLECTION, link, ways.sent, errors, self._algebra.false)
        yield from self._inbound(link, numbers)

    def _may_send(self, link: Link) -> Bit:
        """What the qube itself may send up."""
        packet, role = self._ways.sent.packet, self._qube.role
        neighbour = self._is_neighbour(packet, link, Direction.UP)
        listed = permits(packet, self._allowed(link, Direction.UP))
        algebra, facts = self._algebra, self._facts
        match role:
            case Role.TOR_GATEWAY if facts.tor_uid is not None:
                is_tors = self._both(packet.owned, is_value(algebra, packet.uid, facts.tor_uid))
                return algebra.either(neighbour, self._both(listed, is_tors))
            case Role.VPN_PROXY:
                marked = is_value(algebra, packet.mark, facts.vpn_mark)
                return algebra.either(neighbour, self._both(listed, marked))
            case Role.FIREWALL | Role.NET:
                return neighbour
        return listed

    def _inbound(self, link: Link, numbers: tuple[int, ...]) -> Iterator[Claim]:
        """From outside come answers only: nobody there may begin a flow, with whomever."""
        for way in (self._ways.forwarded, self._ways.delivered):
            came = self._both(way.reach, way.came.through(way.came.iif, numbers))
            answer = way.packet.flow.reply
            is_ours = way is self._ways.delivered and not link.tunnel
            if is_ours:
                neighbour = self._is_neighbour(way.came, link, Direction.DOWN)
                answer = self._algebra.either(answer, neighbour)
            yield self._claim(Name.NO_INBOUND, link, way, came, answer)

    def _tunnel(self) -> Iterator[Claim]:
        """Into a VPN's tunnel goes what its clients may send, and nothing of the qube's own."""
        if self._qube.role is not Role.VPN_PROXY:
            return
        ways, link = self._ways, Link(self._qube.name, None, tunnel=True)
        numbers = ways.interfaces.numbers(addressing.GROUP_TUNNEL)
        listed = permits(ways.forwarded.packet, self._allowed(link, Direction.UP))
        into = self._out(ways.forwarded, numbers)
        yield self._claim(Name.CLIENTS_ONLY, link, ways.forwarded, into, listed)
        own = self._out(ways.sent, numbers)
        yield self._claim(Name.NOTHING_OF_ITS_OWN, link, ways.sent, own, self._algebra.false)
        yield from self._inbound(link, numbers)

    # Downstream

    def _downstream(self, client: Qube) -> Iterator[Claim]:
        """To a client go answers; from it comes what it may send, from its own addresses."""
        ways, link = self._ways, Link(client.name, self._qube.name)
        name = addressing.downstream_interface(self._facts.chain, client.name)
        number = ways.interfaces.number(name)
        numbers = (number,) if number else ()
        for way in (ways.forwarded, ways.sent):
            listed = permits(way.packet, self._allowed(link, Direction.DOWN))
            if way is ways.sent:
                listed = self._algebra.either(listed, self._is_too_big(way.packet, client))
            # By the routes that are there: another client's answer is for its own interface.
            out = self._both(self._out(way, numbers), self._taken(way))
            yield self._claim(Name.ANSWERS_ONLY, link, way, out, listed)
        for way in (ways.forwarded, ways.delivered):
            came = self._both(way.reach, way.came.through(way.came.iif, numbers))
            yield self._claim(Name.ANTI_SPOOF, link, way, came, self._is_of(way.came, SRC, client))
            listed = permits(way.came, self._allowed(link, Direction.UP))
            entered = Name.ENDPOINT_ONLY if self._qube.role in _CARRIES else Name.CLIENTS_ONLY
            yield self._claim(entered, link, way, came, listed)
        if self._qube.role is Role.TOR_GATEWAY:
            came = self._both(ways.delivered.reach, ways.delivered.came.through(
                ways.delivered.came.iif, numbers))  # fmt: skip
            at_tor = self._at_tor(ways.delivered.packet, link)
            yield self._claim(Name.PORTS_ONLY, link, ways.delivered, came, at_tor)

    def _taken(self, way: Way) -> Bit:
        """Where the routes that are there send the packet: asked once, however many clients."""
        if id(way) not in self._routed:
            self._routed[id(way)] = takes(way.packet, self._snapshot)
        return self._routed[id(way)]

    def _is_too_big(self, packet: Packet, client: Qube) -> Bit:
        """Said to somebody behind the client, whatever it was that was too big."""
        algebra = self._algebra
        protocol, kind = (ICMP, 3) if packet.family == IP else (ICMPV6, 2)
        parts = [is_plain(packet), packet.is_protocol(protocol), packet.is_type(kind)]
        return every(algebra, [*parts, self._is_of(packet, DST, client)])

    def _is_of(self, packet: Packet, which: str, client: Qube) -> Bit:
        """Whether the source or the destination is an address of the client or behind it."""
        chain, algebra = self._facts.chain, self._algebra
        address = addressing.address4 if packet.family == IP else addressing.address6
        own = [int(address(chain, one.name)) for one in addressing.senders_behind(chain, client)]
        return any_of(algebra, (is_value(algebra, packet.address(which), n) for n in own))

    def _at_tor(self, packet: Packet, link: Link) -> Bit:
        """Delivered to a port where tor listens, at the gateway's own address."""
        algebra, chain = self._algebra, self._facts.chain
        own = is_value(
            algebra, packet.address(DST), int(addressing.address4(chain, self._qube.name))
        )
        ports = any_of(algebra, (
            self._both(packet.is_protocol(protocol), is_value(algebra, packet.bits(DPORT), port))
            for protocol, ports in self._facts.tor_ports.items() for port in ports
        ))  # fmt: skip
        is_4 = algebra.true if packet.family == IP else algebra.false
        neighbour = self._is_neighbour(packet, link, Direction.UP)
        return algebra.either(neighbour, every(algebra, [is_4, own, ports]))

    # The rest

    def _no_other_way(self) -> Iterator[Claim]:
        """Past the wires of the chain nothing comes and nothing goes; programs of the qube may talk
        to each other over loopback."""
        ways = self._ways
        wired = [n for n, group in enumerate(ways.interfaces.groups, 1) if group in _WIRED]
        for way in (ways.forwarded, ways.sent, ways.delivered):
            comes = way is ways.delivered
            packet = way.came if comes else way.packet
            others = (*wired, *(() if way is ways.forwarded else self._lo))
            on_wire = packet.through(packet.iif if comes else packet.oif, others)
            yield Claim(
                Name.NO_OTHER_WAY, "", way, self._both(way.reach, self._algebra.no(on_wire))
            )

    def _allowed(self, link: Link, direction: Direction) -> list[FlowPattern]:
        patterns = allowed(self._facts.chain, link, self._facts.states)
        return [pattern for pattern in patterns if pattern.direction is direction]

    def _is_neighbour(self, packet: Packet, link: Link, direction: Direction) -> Bit:
        listed = self._allowed(link, direction)
        return permits(packet, [p for p in listed if p.kind in _NEIGHBOURLY])

    def _is_error(self, packet: Packet) -> Bit:
        """It tells what somebody else sent: an ICMP error, or (but from a workstation, whose own
        TCP goes up) a TCP segment without a socket."""
        algebra = self._algebra
        protocol, types = _ERRORS[packet.family]
        error = self._both(packet.is_protocol(protocol), packet.is_type(*types))
        if self._qube.role is Role.WORKSTATION:
            return error
        reset = self._both(packet.is_protocol(TCP), algebra.no(packet.owned))
        return algebra.either(error, reset)

    def _out(self, way: Way, numbers: tuple[int, ...]) -> Bit:
        return self._both(way.reach, way.packet.through(way.packet.oif, numbers))

    def _claim(self, name: Name, link: Link, way: Way, passed: Bit, may: Bit) -> Claim:
        return Claim(name, link.name, way, self._both(passed, self._algebra.no(may)))

    def _both(self, a: Bit, b: Bit) -> Bit:
        return self._algebra.both(a, b)

"""Every way of every packet of one family through one qube, and what conntrack makes possible.

An answer is only possible where the flow that it answers was let begin: of a packet in the reply
direction the rules are asked about the packet that it answers, too. Older rules may have let others
begin; that is for whoever changes rules (docs/security.md, "What proved means").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from netchain.nft.fields import FIELDS
from netchain.nft.ruleset import Ruleset
from netchain.verify.algebra import Algebra, Bit, every
from netchain.verify.flows import ICMP_KINDS, may_be_part
from netchain.verify.hooks import INPUT, OUTPUT, POSTROUTING, PREROUTING, Arrival, Hooks
from netchain.verify.nat import mapping
from netchain.verify.packet import (
    DPORT,
    DST,
    FRAGMENT,
    IP,
    SPORT,
    SRC,
    Interfaces,
    Packet,
    fresh,
    truths,
)
from netchain.verify.walk import Note
from netchain.verify.words import Word, constant

_FIRST = "first "
_TYPE = FIELDS["icmp", "type"]
_Hook = Callable[[Packet, Bit], Arrival]
_AsFirst = Callable[[Packet, Packet], Packet]


@dataclass(frozen=True)
class Way:
    """A packet as it came, and what became of it: it gets through where `reach` holds."""

    came: Packet
    arrival: Arrival
    possible: Callable[[Bit], Bit]
    """Such packets of these as conntrack can really say it of, what it is said to say. Most claims
    hold whatever it says, so this is reckoned only for those that do not."""

    @property
    def reach(self) -> Bit:
        return self.arrival.reach

    @property
    def packet(self) -> Packet:
        """As it leaves, or as it is delivered."""
        return self.arrival.packet


class Ways:
    """All ways of one family's packets through a qube with these rules and interfaces."""

    def __init__(
        self, algebra: Algebra, ruleset: Ruleset, name: str, family: str, interfaces: Interfaces,
        note: Note = lambda *_: None,
    ) -> None:  # fmt: skip
        self.algebra, self.family, self.interfaces = algebra, family, interfaces
        self.hooks = Hooks(ruleset, name, family, note)

    @cached_property
    def forwarded(self) -> Way:
        """In from any interface and out to any other one."""
        hooks, here = self.hooks, (PREROUTING, POSTROUTING)
        flows = _Flows(self, here, hooks.forwarded, hooks.forwarded)
        return self._way(self._incoming, hooks.forwarded, flows)

    @cached_property
    def delivered(self) -> Way:
        """In from any interface to whatever is at home here."""
        hooks, here = self.hooks, (PREROUTING, INPUT)
        flows = _Flows(self, here, hooks.delivered, hooks.sent)
        return self._way(self._incoming, hooks.delivered, flows)

    @cached_property
    def sent(self) -> Way:
        """Out of any program, or of the kernel, to any interface."""
        hooks, here = self.hooks, (OUTPUT, POSTROUTING)
        flows = _Flows(self, here, hooks.sent, hooks.delivered)
        start = fresh(self.algebra, self.family, self.interfaces, local=True)
        return self._way(start, hooks.sent, flows)

    def begins_in_parts(self, hook: _Hook) -> bool:
        """Whether a flow can begin on that way with a fragment, or with an extension header."""
        hooks = self.hooks
        ways: dict[_Hook, str] = {
            hooks.forwarded: "forwarded", hooks.delivered: "delivered", hooks.sent: "sent",
        }  # fmt: skip
        way = getattr(self, ways[hook])
        new = way.packet.is_state("new")
        parts = every(self.algebra, [way.reach, new, may_be_part(way.came)])
        return not self.algebra.is_false(parts)

    @cached_property
    def _incoming(self) -> tuple[Packet, Bit]:
        return fresh(self.algebra, self.family, self.interfaces, local=False)

    def _way(self, start: tuple[Packet, Bit], hook: _Hook, flows: _Flows) -> Way:
        packet, true = start
        arrival = hook(packet, true)
        if not self.hooks.follows_flows or self.hooks.rewrites:
            return Way(packet, arrival, lambda some: some)
        return Way(packet, arrival, lambda some: flows.possible(some, packet, arrival.packet))


@dataclass(frozen=True)
class _Flows:
    """Which later packets are possible on a way: `hooks` are where it changes destinations and
    sources, `same` is the way on which its flows begin, `back` that of flows it has answers to."""

    ways: Ways
    hooks: tuple[str, str]
    same: _Hook
    back: _Hook
    known: dict[tuple[_AsFirst, Word, Word], Bit] = field(default_factory=dict)

    def possible(self, some: Bit, came: Packet, left: Packet) -> Bit:
        """Of a later packet that is whole, that its flow could begin (where none begins in parts);
        of an error about a flow, that whoever it goes to could begin one. An answer has one end
        translated back for each kind of NAT."""
        algebra, flow = came.algebra, left.flow
        established, related = left.is_state("established"), left.is_state("related")
        cases: list[tuple[Bit, _Hook, Packet, _AsFirst]]
        cases = [(algebra.both(established, algebra.no(flow.reply)), self.same, came, _repeated_by)]
        for snat, dnat in product((False, True), repeat=2):
            kind = every(algebra, [
                flow.reply, flow.snat if snat else algebra.no(flow.snat),
                flow.dnat if dnat else algebra.no(flow.dnat),
            ])  # fmt: skip
            end = self._translated(came, snat=snat, dnat=dnat)
            cases += [(algebra.both(established, kind), self.back, end, _answered_by),
                      (algebra.both(related, kind), self.back, end, _about)]  # fmt: skip
        part = algebra.both(some, may_be_part(came))  # of which nothing is known
        found = some = algebra.both(some, algebra.no(part))
        for is_such, hook, packet, as_first in cases:
            is_none = algebra.is_false(algebra.both(some, is_such))
            if not is_none and not self.ways.begins_in_parts(hook):
                begun = self._begun(hook, packet, as_first)
                found = algebra.both(found, algebra.either(algebra.no(is_such), begun))
        return algebra.either(part, found)

    def _translated(self, came: Packet, *, snat: bool, dnat: bool) -> Packet:
        """The answer as it leaves (nat.Translator does the same under a condition)."""
        for is_mapped, which, hook in ((snat, DST, self.hooks[0]), (dnat, SRC, self.hooks[1])):
            if is_mapped:
                place = FIELDS[came.family, which]
                yes = came.algebra.true
                address, port = mapping(came, hook, place.bits)
                came = came.with_bits(place, yes, address)
                came = came.with_port(which, yes, port)
        return came

    def _begun(self, hook: _Hook, other: Packet, as_first: _AsFirst) -> Bit:
        """Whether such a first packet passes."""
        key = as_first, other.address(SRC), other.address(DST)
        if key not in self.known:
            self.known[key] = self._walked(hook, other, as_first)
        return self.known[key]

    def _walked(self, hook: _Hook, other: Packet, as_first: _AsFirst) -> Bit:
        ways = self.ways
        algebra, local = ways.algebra, hook == ways.hooks.sent
        first, _ = fresh(
            algebra, ways.family, ways.interfaces, local=local, prefix=_FIRST, headers=_FIRST
        )
        first = replace(as_first(first, other), begins=True)
        true = algebra.both(truths(first, local=local), _can_be_sent(first, local=local))
        arrival = hook(first, true)
        return algebra.both(arrival.reach, arrival.packet.is_state("new"))


def _can_be_sent(first: Packet, *, local: bool) -> Bit:
    """Programs send from addresses of their qube (only root can do otherwise). What goes over
    loopback is between these, and so is all of its flow."""
    interface = first.oif if local else first.iif
    is_lo = first.through(interface, (first.interfaces.number("lo"),))
    not_lo = first.algebra.no(is_lo)
    return first.algebra.both(first.is_own(SRC), not_lo) if local else not_lo


def _about(first: Packet, error: Packet) -> Packet:
    """A first packet of whoever gets the error."""
    return first.with_bits(FIELDS[first.family, SRC], first.algebra.true, error.address(DST))


def _answered_by(first: Packet, answer: Packet) -> Packet:
    """The packet that is answered: its source is whom the answer goes to in the end, and its
    destination whom that seems to come from, before anything was translated."""
    first = _about(first, answer)
    place = FIELDS[first.family, DST]
    first = first.with_bits(place, first.algebra.true, answer.address(SRC))
    return _between(first, answer, answer.bits(DPORT), answer.bits(SPORT))


def _repeated_by(first: Packet, later: Packet) -> Packet:
    """The first packet of a flow that goes on in the same direction."""
    for which in (SRC, DST):
        place = FIELDS[first.family, which]
        first = first.with_bits(place, first.algebra.true, later.address(which))
    return _between(first, later, later.bits(SPORT), later.bits(DPORT))


def _between(first: Packet, other: Packet, sport: Word, dport: Word) -> Packet:
    """Of the other one's protocol, whole, and between these ports where it has some."""
    algebra, yes = first.algebra, first.algebra.true
    place = FIELDS[first.family, "protocol" if first.family == IP else "nexthdr"]
    first = first.with_bits(place, yes, other.protocol)
    if first.family == IP:
        first = first.with_bits(FRAGMENT, yes, constant(algebra, 0, 14))
    first = replace(first, protocol6=other.protocol, whole=yes)
    first = first.with_port(SRC, yes, sport).with_port(DST, yes, dport)
    protocol, pairs = ICMP_KINDS[first.family]
    for request, answer in pairs.items():
        kind = algebra.both(other.is_protocol(protocol), other.is_type(request, answer))
        first = first.with_bits(_TYPE, kind, constant(algebra, request, 8))
    return first

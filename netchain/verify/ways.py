"""Every way of every packet of one family through one qube, and what conntrack makes possible.

An answer is only possible where the flow that it answers was let begin: of a packet in the reply
direction the rules are asked about the packet that it answers, too. Older rules may have let others
begin; that is for whoever changes rules (docs/security.md, "What proved means").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from netchain.nft.fields import FIELDS
from netchain.nft.ruleset import Ruleset
from netchain.verify.algebra import Algebra, Bit, any_of, every
from netchain.verify.flows import reassembled
from netchain.verify.hooks import INPUT, OUTPUT, POSTROUTING, PREROUTING, Arrival, Hooks
from netchain.verify.nat import WITH_PORTS, mapping
from netchain.verify.packet import DPORT, DST, IP, SPORT, SRC, Interfaces, Packet, fresh, truths
from netchain.verify.walk import Note
from netchain.verify.words import Word

_FIRST = "first "
_Hook = Callable[[Packet, Bit], Arrival]
_AsFirst = Callable[[Packet, Packet], Packet]


@dataclass(frozen=True)
class Way:
    """A packet as it came, and what became of it: it gets through where `reach` holds."""

    came: Packet
    arrival: Arrival
    _possible: Callable[[], Bit]

    @property
    def reach(self) -> Bit:
        return self.arrival.reach

    @cached_property
    def possible(self) -> Bit:
        """Where conntrack can be in the state that it is said to be in. Most claims hold in every
        state, so it is reckoned only when it is asked for."""
        return self._possible()

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
        hooks = self.hooks
        flows = _Flows(self, (PREROUTING, POSTROUTING), hooks.forwarded, hooks.forwarded)
        return self._way(self._incoming, hooks.forwarded, flows)

    @cached_property
    def delivered(self) -> Way:
        """In from any interface to whatever is at home here."""
        hooks = self.hooks
        flows = _Flows(self, (PREROUTING, INPUT), hooks.delivered, hooks.sent)
        return self._way(self._incoming, hooks.delivered, flows)

    @cached_property
    def sent(self) -> Way:
        """Out of any program, or of the kernel, to any interface."""
        hooks = self.hooks
        flows = _Flows(self, (OUTPUT, POSTROUTING), hooks.sent, hooks.delivered)
        start = fresh(self.algebra, self.family, self.interfaces, local=True)
        return self._way(start, hooks.sent, flows)

    @cached_property
    def _incoming(self) -> tuple[Packet, Bit]:
        return fresh(self.algebra, self.family, self.interfaces, local=False)

    def _way(self, start: tuple[Packet, Bit], hook: _Hook, flows: _Flows) -> Way:
        packet, true = start
        arrival = hook(packet, true)
        if not self.hooks.follows_flows:
            return Way(packet, arrival, lambda: self.algebra.true)
        return Way(packet, arrival, lambda: flows.possible(packet, arrival.packet))


@dataclass(frozen=True)
class _Flows:
    """Which later packets are possible on a way: `hooks` are where it changes destinations and
    sources, `same` is the way on which its flows begin, `back` that of flows it has answers to."""

    ways: Ways
    hooks: tuple[str, str]
    same: _Hook
    back: _Hook

    def possible(self, came: Packet, left: Packet) -> Bit:
        """Of a later packet, that its flow could begin; of an error about a flow, that whoever it
        goes to could begin one. An answer has one end translated back for each kind of NAT."""
        algebra, flow, came = came.algebra, left.flow, reassembled(came)
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
        found = algebra.true
        for is_such, hook, packet, as_first in cases:
            if not algebra.is_false(is_such):
                begun = self._begun(hook, packet, as_first)
                found = algebra.both(found, algebra.either(algebra.no(is_such), begun))
        return found

    def _translated(self, came: Packet, *, snat: bool, dnat: bool) -> Packet:
        """The answer as it leaves (nat.Translator does the same under a condition)."""
        for is_mapped, which, hook in ((snat, DST, self.hooks[0]), (dnat, SRC, self.hooks[1])):
            if is_mapped:
                place = FIELDS[came.family, which]
                yes = came.algebra.true
                address, port = mapping(came, hook, place.bits)
                came = came.with_bits(place, yes, address)
                came = came.with_bits(DPORT if which == DST else SPORT, yes, port)
        return came

    def _begun(self, hook: _Hook, other: Packet, as_first: _AsFirst) -> Bit:
        """Whether such a first packet passes."""
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
    """Of the other one's protocol, and between these ports where it has some."""
    algebra = first.algebra
    if first.family == IP:
        first = first.with_bits(FIELDS[IP, "protocol"], algebra.true, other.protocol)
    first = replace(first, protocol6=other.protocol)
    has_ports = any_of(algebra, (other.is_protocol(number) for number in WITH_PORTS))
    first = first.with_bits(SPORT, has_ports, sport)
    return first.with_bits(DPORT, has_ports, dport)

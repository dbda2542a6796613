"""A packet's way through a qube's hooks: in from a wire and on, in to a program, out of a program.

At each hook the chains of all tables that see the family run by their priority, and between them
what the kernel does itself: reassembly (-400), conntrack (-200), address translation (-100 where
destinations are changed, 100 where sources are; a nat chain runs there whatever its priority says).
Source: linux/netfilter_ipv4.h, net/netfilter/nf_nat_core.c; facts measured on 6.18.

Which way a packet takes is not asked of the routes: proofs are about every way (routing.py has the
real ones).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from netchain.nft import expressions as nft
from netchain.nft.ruleset import NftChain, Ruleset
from netchain.nft.statements import Change, Nat
from netchain.verify.algebra import Bit
from netchain.verify.flows import asks_conntrack, followed, reassembled
from netchain.verify.nat import Translator
from netchain.verify.packet import Packet
from netchain.verify.walk import Note, Walker
from netchain.verify.words import constant, variable

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = (
    "prerouting", "input", "forward", "output", "postrouting",
)  # fmt: skip
_DEFRAG, _CONNTRACK = -400, -200
_NAT = {PREROUTING: -100, OUTPUT: -100, INPUT: 100, POSTROUTING: 100}
AT_WORK = {
    PREROUTING: (_DEFRAG, _CONNTRACK, -100), OUTPUT: (_DEFRAG, _CONNTRACK, -100), INPUT: (100,),
    POSTROUTING: (100,),
}  # fmt: skip
"""At which priorities the kernel does something itself, by hook."""


@dataclass(frozen=True)
class Arrival:
    """Under which condition a packet is still there after the hooks, and as what; under which one
    a rule rejected it, which answers its sender, or said that conntrack is not to look."""

    reach: Bit
    packet: Packet
    rejected: Bit
    untracked: Bit


Step = Callable[[Arrival], Arrival]


class Hooks:
    """All base chains of a qube that see one family. `note` is told of rules that decide."""

    def __init__(self, ruleset: Ruleset, qube: str, family: str, note: Note = lambda *_: None):
        self._came: tuple[Packet, Arrival] | None = None
        self._ruleset = ruleset
        self._walkers = {
            table: Walker(
                {c.name: c for c in ruleset.chains if c.table == table},
                {s.name: s for s in ruleset.sets if s.table == table},
                table[0], f"{qube} {' '.join(table)}", note,
            )
            for table in ruleset.tables if table[0] in ("inet", family)
        }  # fmt: skip

    def forwarded(self, packet: Packet, reach: Bit) -> Arrival:
        """In from `packet.iif` and out to `packet.oif`."""
        way = self._in(packet, reach)
        way = replace(way, packet=replace(way.packet, oif=packet.oif))
        return self._through(POSTROUTING, self._through(FORWARD, way))

    def delivered(self, packet: Packet, reach: Bit) -> Arrival:
        """In from `packet.iif` to a program, or to the kernel itself."""
        return self._through(INPUT, self._in(packet, reach))

    def _in(self, packet: Packet, reach: Bit) -> Arrival:
        """Through prerouting: the same for what is forwarded and what is delivered."""
        if self._came is None or self._came[0] is not packet:
            way = self._through(PREROUTING, _start(packet, reach, without_oif=True))
            self._came = packet, way
        return self._came[1]

    def sent(self, packet: Packet, reach: Bit) -> Arrival:
        """Out of a program to `packet.oif`. Where rules may change its way (a mark, a destination)
        it leaves to any interface."""
        way = self._through(OUTPUT, _start(packet, reach, without_oif=False))
        if self._may_reroute:
            other = variable(packet.algebra, f"{packet.prefix}other oif", packet.interfaces.bits)
            way = replace(way, packet=replace(way.packet, oif=other))
        return self._through(POSTROUTING, way)

    @cached_property
    def follows_flows(self) -> bool:
        """Whether conntrack is at work: something asks it. Only then are fragments put together."""
        return any(asks_conntrack(chain) for chain in self._chains)

    @cached_property
    def has_nat(self) -> bool:
        return any(chain.kind == "nat" for chain in self._chains)

    @cached_property
    def translated(self) -> frozenset[str]:
        """What nat chains can change: `snat`, `dnat`."""
        kinds = {
            statement.kind for chain in self._chains for rule in chain.rules
            for statement in rule.statements if isinstance(statement, Nat)
        }  # fmt: skip
        return frozenset("snat" if kind in ("snat", "masquerade") else "dnat" for kind in kinds)

    @cached_property
    def rewrites(self) -> bool:
        """Whether a rule writes into headers: what conntrack sees may be another packet then."""
        written = nft.Payload | nft.RawPayload
        return any(
            isinstance(statement, Change) and isinstance(statement.key, written)
            for chain in self._chains for rule in chain.rules for statement in rule.statements
        )  # fmt: skip

    @cached_property
    def _may_reroute(self) -> bool:
        return any(c.kind == "route" or (c.kind == "nat" and c.hook == OUTPUT)
                   for c in self._chains)  # fmt: skip

    @property
    def _chains(self) -> list[NftChain]:
        return [chain for chain in self._ruleset.chains if chain.table in self._walkers]

    def base_chains(self, hook: str) -> list[tuple[int, Walker, NftChain]]:
        """Those of the hook that are no nat chains, by priority."""
        found = [
            (chain.priority or 0, self._walkers[chain.table], chain)
            for chain in self._chains
            if chain.hook == hook and chain.kind != "nat"
        ]
        return sorted(found, key=lambda each: each[0])

    def _through(self, hook: str, way: Arrival) -> Arrival:
        for step in self._steps(hook):
            if way.packet.algebra.is_false(way.reach):
                return way
            way = step(way)
        return way

    def _steps(self, hook: str) -> list[Step]:
        """By their priority; what the kernel does at the same one comes first."""
        found: list[tuple[int, int, Step]] = []
        if self.follows_flows and hook in (PREROUTING, OUTPUT):
            found += [(_DEFRAG, 0, _reassemble), (_CONNTRACK, 0, self._follow)]
        if self.has_nat and hook in _NAT:
            found.append((_NAT[hook], 0, self._translation(hook)))
        for priority, walker, chain in self.base_chains(hook):
            found.append((priority, 1, _filter(walker, chain)))
        return [step for _, _, step in sorted(found, key=lambda each: each[:2])]

    def _follow(self, way: Arrival) -> Arrival:
        return replace(way, packet=followed(way.packet, way.untracked, self.translated))

    def _translation(self, hook: str) -> Step:
        chains = sorted(
            (chain for chain in self._chains if chain.kind == "nat" and chain.hook == hook),
            key=lambda chain: chain.priority or 0,
        )
        translator = Translator(hook, tuple((self._walkers[c.table], c) for c in chains))

        def step(way: Arrival) -> Arrival:
            reach, packet = translator.through(way.packet, way.reach)
            return replace(way, reach=reach, packet=packet)

        return step


def _start(packet: Packet, reach: Bit, *, without_oif: bool) -> Arrival:
    algebra = packet.algebra
    if without_oif:
        packet = replace(packet, oif=constant(algebra, 0, packet.interfaces.bits))
    return Arrival(reach, packet, algebra.false, algebra.false)


def _reassemble(way: Arrival) -> Arrival:
    return replace(way, packet=reassembled(way.packet))


def _filter(walker: Walker, chain: NftChain) -> Step:
    def step(way: Arrival) -> Arrival:
        algebra, walked = way.packet.algebra, walker.base(chain, way.packet)
        return Arrival(
            algebra.both(way.reach, walked.accepted),
            walked.packet,
            algebra.either(way.rejected, algebra.both(way.reach, walked.rejected)),
            algebra.either(way.untracked, walked.untracked),
        )

    return step

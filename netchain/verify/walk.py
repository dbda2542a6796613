"""A packet's way through one base chain: which rules it meets, and what becomes of it.

Every result is relative to reaching the chain. A chain is walked once for each packet that comes to
it: whoever jumps there twice gets the same answer, however deep the jumps are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from netchain.nft import expressions as nft
from netchain.nft.ruleset import NftChain, NftRule, NftSet
from netchain.nft.statements import (
    Change,
    Decide,
    DecideBy,
    Harmless,
    Match,
    Nat,
    Notrack,
    Reject,
    Statement,
    Unmodelled,
    Verdict,
    verdict_of,
)
from netchain.verify.algebra import Bit
from netchain.verify.changes import changed, merged
from netchain.verify.constants import NotModelledError
from netchain.verify.matching import Matcher
from netchain.verify.packet import Packet

Note = Callable[[NftChain, NftRule, str], None]
"""Is told of each rule that decides, when the algebra is Truth: chain, rule, what it did."""


@dataclass(frozen=True)
class Rewrite:
    """A NAT statement that was met, under which condition, and what it read."""

    condition: Bit
    statement: Nat
    matcher: Matcher


@dataclass(frozen=True)
class Walked:
    """Under which conditions the packet was accepted, dropped, or came to the end (`fell`); the
    packet as it is now; rewrites and rejects that were met."""

    accepted: Bit
    dropped: Bit
    fell: Bit
    packet: Packet
    untracked: Bit
    rejected: Bit
    rewrites: tuple[Rewrite, ...] = ()


@dataclass
class Walker:
    """Walks the chains of one table."""

    chains: Mapping[str, NftChain]
    sets: Mapping[str, NftSet]
    family: str
    """The table's: inet, ip or ip6."""
    name: str
    """What the table is called in the names of assumptions, with its qube."""
    note: Note = field(default=lambda *_: None)
    _known: dict[tuple[str, int], Walked] = field(default_factory=dict)
    _packets: list[Packet] = field(default_factory=list)
    """Kept, so that no other packet gets the identity of one that was walked."""

    def base(self, chain: NftChain, packet: Packet) -> Walked:
        """The way through a base chain, its policy included."""
        algebra, walked = packet.algebra, self.chain(chain, packet)
        ends = {"accepted": algebra.either(walked.accepted, walked.fell)}
        if chain.policy == "drop":
            ends = {"dropped": algebra.either(walked.dropped, walked.fell)}
        return replace(walked, fell=algebra.false, **ends)

    def chain(self, chain: NftChain, packet: Packet) -> Walked:
        key = chain.name, id(packet)
        if key not in self._known:
            self._packets.append(packet)
            self._known[key] = _Run(self, chain, packet).through()
        return self._known[key]


class _Run:
    """One packet in one chain."""

    def __init__(self, walker: Walker, chain: NftChain, packet: Packet) -> None:
        self._walker, self._chain, self._algebra = walker, chain, packet.algebra
        no = self._algebra.false
        self._got = Walked(no, no, self._algebra.true, packet, no, no)
        self._returned = no

    def through(self) -> Walked:
        for number, rule in enumerate(self._chain.rules, 1):
            if self._algebra.is_false(self._got.fell):
                break
            self._rule(rule, number)
        fell = self._algebra.either(self._got.fell, self._returned)
        return replace(self._got, fell=fell)

    def _rule(self, rule: NftRule, number: int) -> None:
        """Statement by statement; `met` is under which condition the next one is reached."""
        met = self._got.fell
        where = f"{self._walker.name} {self._chain.name}#{number}"
        for_family = self._walker.family != "inet"
        for statement in rule.statements:
            if self._algebra.is_false(met):
                return
            matcher = Matcher(self._got.packet, self._walker.sets, where, for_family)
            met = self._statement(rule, statement, matcher, met)
            for_family = for_family or _fixes_family(statement)

    def _statement(self, rule: NftRule, statement: Statement, matcher: Matcher, met: Bit) -> Bit:
        both, no = self._algebra.both, self._algebra.false
        match statement:
            case Harmless():
                return met
            case Match(operator, left, right):
                return both(met, matcher.matches(operator, left, right))
            case Decide(verdict, target):
                self._decide(rule, verdict, target, met)
                return no if verdict is not Verdict.CONTINUE else met
            case DecideBy(key, data):
                return self._decide_by(rule, matcher, key, data, met)
            case Reject(kind):
                met = both(met, _can_reject(kind, matcher.packet))
                self._got = replace(
                    self._got, rejected=self._algebra.either(self._got.rejected, met)
                )
                self._decide(rule, Verdict.DROP, "", met)
                return no
            case Nat():
                return self._nat(rule, statement, matcher, met)
            case Change(key, value):
                return self._change(key, value, matcher, met)
            case Notrack():
                was = self._got.untracked
                self._got = replace(self._got, untracked=self._algebra.either(was, met))
                return met
            case Unmodelled(text, may_accept):
                chosen = both(met, matcher.assumed(text))
                if may_accept:
                    self._decide(rule, Verdict.ACCEPT, "", chosen)
                    return both(met, self._algebra.no(matcher.assumed(text)))
                return chosen

    def _decide(self, rule: NftRule, verdict: Verdict, target: str, met: Bit) -> None:
        """Take the packets that meet the verdict out of the chain, or on to another one."""
        algebra, got = self._algebra, self._got
        if verdict is Verdict.CONTINUE or algebra.is_false(met):
            return
        if met is True:
            self._walker.note(self._chain, rule, f"{verdict} {target}".strip())
        rest = algebra.both(got.fell, algebra.no(met))
        match verdict:
            case Verdict.ACCEPT:
                self._got = replace(got, fell=rest, accepted=algebra.either(got.accepted, met))
            case Verdict.DROP:
                self._got = replace(got, fell=rest, dropped=algebra.either(got.dropped, met))
            case Verdict.RETURN:
                self._got = replace(got, fell=rest)
                self._returned = algebra.either(self._returned, met)
            case Verdict.JUMP | Verdict.GOTO:
                self._enter(target, met, rest, comes_back=verdict is Verdict.JUMP)

    def _enter(self, target: str, met: Bit, rest: Bit, *, comes_back: bool) -> None:
        algebra, got = self._algebra, self._got
        both, either = algebra.both, algebra.either
        there = self._walker.chain(self._walker.chains[target], got.packet)
        back = both(met, there.fell)
        rewrites = (replace(each, condition=both(met, each.condition)) for each in there.rewrites)
        if not comes_back:
            self._returned = either(self._returned, back)
        self._got = Walked(
            either(got.accepted, both(met, there.accepted)),
            either(got.dropped, both(met, there.dropped)),
            either(rest, back) if comes_back else rest,
            merged(met, there.packet, got.packet),
            either(got.untracked, both(met, there.untracked)),
            either(got.rejected, both(met, there.rejected)),
            (*got.rewrites, *rewrites),
        )

    def _decide_by(
        self, rule: NftRule, matcher: Matcher, key: nft.Expression, data: nft.Expression, met: Bit
    ) -> Bit:
        """A verdict map: at most one element is the key (nft keeps them apart)."""
        algebra = self._algebra
        try:
            value = matcher.value(key)
            found = [(matcher.hit(value, each), verdict_of(each.data))
                     for each in matcher.members(data)]  # fmt: skip
            if any(verdict is None for _, verdict in found):
                raise NotModelledError
        except NotModelledError:
            may_accept = algebra.both(met, matcher.assumed(f"{key} vmap {data}"))
            self._decide(rule, Verdict.ACCEPT, "", may_accept)
            return algebra.both(met, algebra.no(may_accept))
        rest = met
        for hit, verdict in found:
            assert verdict is not None
            chosen = algebra.both(met, hit)
            if algebra.is_false(chosen):
                continue
            self._decide(rule, verdict.verdict, verdict.target, chosen)
            if verdict.verdict is not Verdict.CONTINUE:
                rest = algebra.both(rest, algebra.no(hit))
        return rest

    def _nat(self, rule: NftRule, statement: Nat, matcher: Matcher, met: Bit) -> Bit:
        """Ends the chain with an accept, where what it reads is there and of its family."""
        if statement.family not in ("", matcher.packet.family):
            return self._algebra.false
        for expression in filter(None, (statement.address, statement.port)):
            if isinstance(expression, nft.Lookup):
                try:
                    met = self._algebra.both(met, matcher.value(expression).there)
                except NotModelledError:
                    met = self._algebra.both(met, matcher.assumed(f"{expression}"))
        rewrite = Rewrite(met, statement, matcher)
        self._got = replace(self._got, rewrites=(*self._got.rewrites, rewrite))
        self._decide(rule, Verdict.ACCEPT, "", met)
        return self._algebra.false

    def _change(
        self, key: nft.Expression, value: nft.Expression, matcher: Matcher, met: Bit
    ) -> Bit:
        packet = changed(matcher, key, value, met)
        self._got = replace(self._got, packet=packet)
        try:
            return self._algebra.both(met, matcher.value(key).there)
        except NotModelledError:
            return met


def _fixes_family(statement: Statement) -> bool:
    """Whether a packet that goes on in the rule is known to be of its family."""
    if not isinstance(statement, Match):
        return False
    left = statement.left
    parts = left.parts if isinstance(left, nft.Concat) else (left,)
    return any(
        (isinstance(part, nft.Payload) and part.protocol in ("ip", "ip6"))
        or (part in (nft.Meta("nfproto"), nft.Meta("protocol")) and statement.operator == "==")
        for part in parts
    )


def _can_reject(kind: str, packet: Packet) -> Bit:
    """An error of the other family's kind does not end the rule (the JSON has no guard for it)."""
    algebra = packet.algebra
    if kind in ("icmp", "icmpv6"):
        is_own = (kind == "icmp") == (packet.family == "ip")
        return algebra.true if is_own else algebra.false
    return packet.is_protocol(6) if kind == "tcp reset" else algebra.true

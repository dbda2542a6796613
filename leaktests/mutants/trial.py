"""One mutant on one bench: what gets through, and what is needed and does not.

A mutant that lets something through is caught. One that lets nothing through but not a flow that
the role is for, either, is dead. Who holds where neither is seen, `holders` finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from leaktests.engine.shot import Markers
from leaktests.mutants import needs, rulefile
from leaktests.mutants.bench import Bench, Own
from leaktests.mutants.observed import Breach, Judge
from leaktests.mutants.operators import Edits, Mutant, apply
from leaktests.mutants.plugged import Way
from leaktests.mutants.rulefile import RuleFile
from leaktests.mutants.scenes import BLOCKED, Scene
from leaktests.mutants.traffic import SEED, OldFlow, Sender, Volley, old_flows, volleys
from netchain.nft import ruleset
from netchain.nft.fill import BLOCKED_TABLE, TABLE, fill
from netchain.nft.sets import Facts, sets_for

CAUGHT, DEAD, REDUNDANT, SILENT, REFUSED = "caught", "dead", "redundant", "silent", "refused"
OPEN = f"""table {TABLE}
delete table {TABLE}
table {TABLE} {{
	chain flows {{ type filter hook prerouting priority filter; ct state new accept; }}
	chain still {{
		type filter hook output priority raw;
		tcp flags rst drop
		icmp type destination-unreachable drop
		icmpv6 type destination-unreachable drop
	}}
}}
"""
"""Everything passes, flows are tracked; the kernel does not refuse what no program waits for."""
_OLD_STEP = -1
"""The step of a sweep in which flows from before go on."""
UNBLOCKED = f"table {BLOCKED_TABLE}\ndelete table {BLOCKED_TABLE}\n"


@dataclass(frozen=True)
class Swept:
    """What one sweep showed; `counts` are packets by the line of the rule that met them, `steps`
    the steps of the sweep in which each breach was seen first."""

    breaches: Mapping[tuple[str, str], Breach]
    counts: Mapping[int, int]
    steps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What became of a mutant in one scene. `probes` are those that noticed, `holders` the rules
    that hold in its stead, `detail` what was seen first, what fails, or what nft said."""

    verdict: str
    probes: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    detail: str = ""
    doubts: tuple[str, ...] = ()


@dataclass
class Trials:
    """A bench, the shots for it, and the role's file."""

    scene: Scene
    file: RuleFile
    bench: Bench = field(init=False)

    def __post_init__(self) -> None:
        markers, self._volleys, old = _packets(self.scene)
        self._judge = Judge(self.scene, markers, self._volleys)
        self._frames = {id(v): [shot.frame for shot in v.shots] for v in self._volleys}
        self._old: dict[int, OldFlow] = {flow.number: flow for flow in old}
        self._errors = {flow.number: tuple(flow.errors()) for flow in old}
        self._uid = 0
        self.bench = Bench(self.scene)

    @property
    def shots(self) -> int:
        """Packets of one sweep, without those of old flows."""
        return sum(len(volley.shots) for volley, _ in self._order())

    @cached_property
    def _sets(self) -> Mapping[str, frozenset[str]]:
        if self.scene.role == BLOCKED:
            return {}
        known = _set_names(self.file)
        sets = sets_for(self.scene.chain, self.scene.qube, Facts(tor_uid=0))
        return {name: elements for name, elements in sets.items() if name in known}

    def base(self) -> Swept:
        """The file as it is."""
        return self.sweep({})

    def needs(self) -> tuple[str, ...]:
        """The flows that the file as it is does not let through but should."""
        self._load(self.file.lines)
        return self._failing()

    def noticed(self, mutant: Mutant) -> Result:
        """Whether something gets through, or something that is needed does not."""
        try:
            found = self.sweep(mutant.edits)
        except OSError as error:
            return Result(REFUSED, detail=str(error).splitlines()[0])
        if found.breaches:
            first = next(iter(found.breaches.values()))
            said = f"{first.where}: {first.what} <- {first.probe}"
            return Result(CAUGHT, named(found.breaches.values()), (), said, found.doubts)
        self._load(apply(self.file.lines, mutant.edits))
        failing = self._failing()
        return Result(DEAD if failing else SILENT, (), (), ", ".join(failing), found.doubts)

    def sweep(self, edits: Edits, step: int | None = None) -> Swept:
        """Everything is sent at the qube under the edited file, or what is of one step only.
        OSError when nft refuses the file."""
        bench, doubts = self.bench, Counter[str]()
        breaches: dict[tuple[str, str], Breach] = {}
        steps: dict[tuple[str, str], int] = {}
        lines = apply(self.file.lines, edits)
        self._load(lines, old=step in (None, _OLD_STEP))
        for number, (volley, way) in enumerate(self._order()):
            if step not in (None, number):
                continue
            for breach in self._fired(volley, way, doubts):
                breaches.setdefault(breach.key, breach)
                steps.setdefault(breach.key, number)
        counts = self._counts(lines) if step is None else {}
        for breach in self._revive() if step in (None, _OLD_STEP) else ():
            breaches.setdefault(breach.key, breach)
            steps.setdefault(breach.key, _OLD_STEP)
        doubts["frames were lost"] += bench.drops()
        told = tuple(f"{count} times: {what}" for what, count in doubts.items() if count)
        return Swept(breaches, counts, steps, told)

    def _fired(self, volley: Volley, way: Way, doubts: Counter[str]) -> Iterator[Breach]:
        """One volley, and what came of it."""
        self._as(volley.facts)
        self.bench.way(way)
        frames = self._frames[id(volley)]
        if volley.own is not None:
            self.bench.send_own(volley.own, frames)
        elif lost := self.bench.send(volley.link, frames):
            doubts[f"the qube did not get shots through {volley.link}"] += lost
        return self._judge.breaches(volley, self.bench.seen())

    def _order(self) -> Iterator[tuple[Volley, Way]]:
        """What comes in from one client and from outside by every way; what the qube itself sends
        is bound to its interface."""
        client = next((v for v in self._volleys if v.kind is Sender.CLIENT), None)
        for way in Way:
            for volley in self._volleys:
                turned = volley is client or volley.kind is Sender.FOREIGN
                if volley.facts and (way is Way.NORMAL or turned):
                    yield volley, way
        for volley in self._volleys:
            if not volley.facts:
                yield volley, Way.NORMAL

    def _load(self, lines: tuple[str, ...], *, old: bool = False) -> None:
        """The rules, with no flow known but those of before; nothing of ours is on its way."""
        bench = self.bench
        bench.way(Way.NORMAL)
        bench.load(UNBLOCKED)
        bench.load(OPEN)
        bench.forget_flows()
        if old:
            self._open_flows(self._old.values())
        bench.load(fill("\n".join(lines), self._sets))
        self._uid = 0
        bench.seen()

    def _as(self, facts: bool) -> None:
        """Whether uid 0 is the role's own program."""
        uid = 0 if facts else 1
        names = [name for name in ("tor_uid", "vpn_uid") if name in self._sets]
        if not names or uid == self._uid:
            return
        self._uid = uid
        self.bench.load("".join(
            f"flush set {TABLE} {name}\nadd element {TABLE} {name} {{ {uid} }}\n" for name in names
        ))  # fmt: skip

    def _open_flows(self, flows: Iterable[OldFlow]) -> None:
        flows = tuple(flows)
        self._put((flow.way_in, flow.way_out, flow.first) for flow in flows)
        self._put((flow.way_out, flow.way_in, flow.answer) for flow in flows)

    def _revive(self) -> Iterator[Breach]:
        """Flows from before: they go on, errors are told about them, and their packets come in
        where they never did. (Those that the rules let go on, too: not by another link.)"""
        self._as(True)
        strict = {n: flow for n, flow in self._old.items() if not self._judge.goes_on(flow)}
        for way in (Way.NORMAL, Way.UPLINK):
            self.bench.way(way)
            self._open_flows(strict.values())
            yield from self._judge.revived(strict, f"goes on, {way}", self.bench.seen())
            self._put(error for number in strict for error in self._errors[number])
            yield from self._judge.revived(strict, f"error, {way}", self.bench.seen())
        self.bench.way(Way.NORMAL)
        for link in self.bench.links:
            self._put((link, "", packet) for packet in self._not_by(link))
            what = f"elsewhere, in by {link}"
            yield from self._judge.revived(self._old, what, self.bench.seen())

    def _not_by(self, link: str) -> Iterator[bytes]:
        """Packets of old flows, and errors about them, that another link has brought."""
        for flow in self._old.values():
            packets = ((flow.way_in, flow.first), (flow.way_out, flow.answer))
            yield from (packet for end, packet in packets if end and end != link)
            yield from (error for end, _, error in self._errors[flow.number] if end and end != link)

    def _put(self, packets: Iterable[tuple[str, str, bytes]]) -> None:
        """Each in through its first end, or ("") out to its second as the qube's own."""
        ways: dict[tuple[str, str], list[bytes]] = {}
        for here, there, packet in packets:
            ways.setdefault((here, "" if here else there), []).append(packet)
        for (here, there), sent in ways.items():
            if here:
                self.bench.send(here, [self.bench.framed(here, packet) for packet in sent])
            else:
                self.bench.send_own(Own(there, marked=True), sent)

    def _counts(self, lines: tuple[str, ...]) -> dict[int, int]:
        """Packets by line: the kernel lists a chain's rules in the order of the file."""
        file = rulefile.parse(self.file.role, "\n".join(lines))
        listed = {chain.name: chain.rules for chain in ruleset.parse(self.bench.listing()).chains}
        found = {}
        for chain in file.chains:
            for rule, seen in zip(chain.rules, listed.get(chain.name, ()), strict=False):
                found[rule.line] = seen.packets or 0
        return found

    def _failing(self) -> tuple[str, ...]:
        return tuple(name for name, works in needs.of(self.scene, self.bench) if not works)


@cache
def _packets(scene: Scene) -> tuple[Markers, list[Volley], list[OldFlow]]:
    """All that is sent at the qube of a scene. Made once: that takes a second or two."""
    markers = Markers(SEED)
    return markers, volleys(scene, markers), old_flows(scene, markers)


def named(breaches: Iterable[Breach]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(breach.probe for breach in breaches))


def _set_names(file: RuleFile) -> set[str]:
    words = (line.split() for line in file.lines)
    return {word[1] for word in words if word[:1] in (["set"], ["map"]) and len(word) > 2}

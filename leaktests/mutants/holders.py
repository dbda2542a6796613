"""Who holds in a mutant's stead: the search for what makes it redundant.

Asked are the counters: the busiest of the rules that stopped more packets than before are opened,
too, one at a time and all at once. Then those who held in the stead of other mutants; last of all
everything else is opened at once. A mutant is redundant when something gets through with it and
them, that does not get through with only them opened: it and they each hold that.

The search is bounded, and tries no pairs. Of many that were opened together as many as can be are
closed again, in the one step of the sweep that showed something (that takes a tenth of the time).
Where more than a few are left, nobody can be named, and nothing counts as shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from leaktests.mutants.observed import Breach
from leaktests.mutants.operators import Mutant, opened
from leaktests.mutants.rulefile import Rule, RuleFile
from leaktests.mutants.trial import REDUNDANT, SILENT, Result, Swept, Trials, named

_SINGLY, _DEPTH, _MEMORY = 3, 2, 3
_MOST = 8
"""Holders that are named at most."""
_CLOSINGS = 40
"""How often something is closed again at most, to see whether the rest still holds."""
Held = dict[int, str | None]
"""Rules and policies that are opened: the text by line."""
_Key = tuple[tuple[int, str], ...]


@dataclass
class Search:
    """Over the trials of one scene; what was swept is remembered."""

    trials: Trials
    _alone: dict[_Key, Swept] = field(default_factory=dict)
    _both: dict[_Key, Swept] = field(default_factory=dict)
    _held_before: Counter[frozenset[int]] = field(default_factory=Counter)

    @property
    def file(self) -> RuleFile:
        return self.trials.file

    def held(self, mutant: Mutant) -> Result:
        """REDUNDANT with the rules that hold, or SILENT."""
        self._both.clear()
        for held in self._suspects(mutant):
            new = self._shown(mutant, held)
            if new and len(held := self._least(mutant, held, new[0])) <= _MOST:
                self._held_before[frozenset(held)] += 1
                names = tuple(name for _, name in self._named(held))
                return Result(REDUNDANT, named(new), names, f"{new[0].where}: {new[0].what}")
        return Result(SILENT)

    def _suspects(self, mutant: Mutant) -> Iterator[Held]:
        """At most ten."""
        held = dict(self._busier(mutant, {}))
        yield from ({line: text} for line, text in list(held.items())[:_SINGLY])
        for before, _ in self._held_before.most_common(_MEMORY):
            if not before & mutant.edits.keys():
                yield self._openings(mutant, before)
        for _ in range(_DEPTH):
            if len(held) > 1:
                yield held
            more = dict(self._busier(mutant, held))
            if not more:
                break
            held = {**held, **more}
        rewriting = self._rewriting()
        for behind in (False, True):
            everything = self._openings(mutant, self._others(mutant, behind))
            if not behind:
                yield {n: text for n, text in everything.items() if n not in rewriting}
            yield everything

    def _shown(self, mutant: Mutant, held: Held) -> list[Breach]:
        """What gets through with the mutant, but not with only those opened."""
        if not held:
            return []
        alone, both = self._swept_alone(held), self._swept_with(mutant, held)
        return [breach for key, breach in both.breaches.items() if key not in alone.breaches]

    def _least(self, mutant: Mutant, held: Held, shown: Breach) -> Held:
        """As few of them as are needed for that breach: halves, quarters and so on are closed
        again, as long as the bound allows."""
        step = self._swept_with(mutant, held).steps[shown.key]
        size, left = (len(held) + 1) // 2, _CLOSINGS
        while len(held) > 1 and left > 0:
            for start in range(0, len(held), size):
                lines = list(held)[start : start + size]
                fewer = {line: what for line, what in held.items() if line not in lines}
                left -= 1
                if fewer and self._still(mutant, fewer, shown, step):
                    held = fewer
                    break
            else:
                if size == 1:
                    break
                size = (size + 1) // 2
            size = min(size, len(held))
        return held

    def _still(self, mutant: Mutant, held: Held, shown: Breach, step: int) -> bool:
        """Whether that breach is seen with the mutant and them, and not with only them."""
        try:
            both = self.trials.sweep({**held, **mutant.edits}, step)
        except OSError:
            return False
        if shown.key not in both.breaches:
            return False
        return shown.key not in self.trials.sweep(held, step).breaches

    def _swept_alone(self, held: Held) -> Swept:
        key = _key(held)
        if key not in self._alone:
            self._alone[key] = self.trials.sweep(held)
        return self._alone[key]

    def _swept_with(self, mutant: Mutant, held: Held) -> Swept:
        """Nothing gets through where nft refuses both edits together."""
        key = _key(held)
        if key not in self._both:
            try:
                self._both[key] = self.trials.sweep({**held, **mutant.edits})
            except OSError:
                self._both[key] = Swept({}, {})
        return self._both[key]

    def _busier(self, mutant: Mutant, held: Held) -> Iterator[tuple[int, str | None]]:
        """The rules that stop more packets with the mutant than without, the busiest first; and
        the policies when all rules together stop fewer."""
        alone, both = self._swept_alone(held), self._swept_with(mutant, held)
        more = {
            rule.line: both.counts.get(rule.line, 0) - alone.counts.get(rule.line, 0)
            for rule in self._stopping()
        }
        busier = [n for n in more if more[n] > 0 and n not in held and n not in mutant.edits]
        lines = sorted(busier, key=lambda line: -more[line])
        if sum(more.values()) < 0:
            lines += [n for n in self._policies() if n not in held and n not in mutant.edits]
        if mutant.opens.endswith(".policy"):
            lines += [n for n in self._lasts(mutant) if n not in held]
        yield from self._openings(mutant, lines).items()

    def _others(self, mutant: Mutant, behind: bool) -> list[int]:
        """Every other rule that stops anything, and every policy; what stands behind the mutant in
        its own chain, or in a chain that it leads to, only with `behind`."""
        chain, first = mutant.opens.partition(".")[0], min(mutant.edits)
        text = " ".join(self.file.lines[number] for number in mutant.edits)
        led_to = set(re.findall(r"(?:jump|goto) (\w+)", text))
        rules = [
            rule.line
            for rule in self._stopping()
            if behind or (rule.chain not in led_to and (rule.chain != chain or rule.line < first))
        ]
        found = [*rules, *self._rewriting(), *self._policies(), *self._lasts(mutant)]
        return [line for line in found if line not in mutant.edits]

    def _openings(self, mutant: Mutant, lines: Iterable[int]) -> Held:
        """How each of the lines reads when it is opened. The last rule of a chain whose policy is
        the mutant is taken away: opened, it would let pass what is the policy's."""
        gone = {*self._lasts(mutant), *self._rewriting()}
        rules = {rule.line: rule for rule in self._stopping()}
        return {
            line: None
            if line in gone
            else opened(rules[line])
            if line in rules
            else self.file.lines[line].replace("policy drop", "policy accept")
            for line in lines
        }

    def _lasts(self, mutant: Mutant) -> list[int]:
        return [
            chain.rules[-1].line
            for chain in self.file.chains
            if mutant.opens == f"{chain.name}.policy" and chain.rules
        ]

    def _policies(self) -> list[int]:
        bases = (chain.base for chain in self.file.chains)
        return [base.line for base in bases if base is not None and base.kind == "filter"]

    def _rewriting(self) -> list[int]:
        """Rules that change addresses or ports: they hold by leading elsewhere."""
        chains = (chain for chain in self.file.chains if chain.base and chain.base.kind == "nat")
        return [rule.line for chain in chains for rule in chain.rules]

    def _stopping(self) -> Iterator[Rule]:
        for chain in self.file.chains:
            yield from (rule for rule in chain.rules if rule.verdict in ("drop", "reject"))

    def _named(self, held: Held) -> Iterator[tuple[int, str]]:
        for chain in self.file.chains:
            if chain.base is not None and chain.base.line in held:
                yield chain.base.line, f"{chain.name}'s policy"
            for rule in chain.rules:
                if rule.line in held:
                    yield rule.line, f"{rule.place} ({rule.comment})"


def _key(held: Held) -> _Key:
    return tuple(sorted((line, text or "") for line, text in held.items()))

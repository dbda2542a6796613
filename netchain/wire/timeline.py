"""When a chain was in which states, and which chain it was: what frames are judged by (pure).

During a step that opens or closes, what the more open side allows may pass, since nobody can say at
which of its milliseconds the kernel changed over (docs/decisions/0003); during any other step, what
the states before it *and* after it allow.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from netchain.model.allowed import OPEN, Direction, States
from netchain.model.chain import Chain, QubeState
from netchain.model.names import QubeName

_NOTHING: tuple[States, ...] = ({},)
_NOT_YET = 1 << 63
_LATE_NS = 10_000_000_000
"""How long answers by an old path may come down after a switch."""


@dataclass(frozen=True)
class _Switched:
    start_ns: int
    end_ns: int
    before: Chain


class Timeline:
    """In which state each qube was when; times are CLOCK_REALTIME in ns, as on frames."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._during: list[tuple[States, ...]] = []
        self._after: list[tuple[States]] = []
        self._ends: list[int] = []
        self._now: dict[QubeName, QubeState] = {}
        self._switches: list[_Switched] = []

    def change(self, start_ns: int, end_ns: int, changed: States) -> None:
        """Qubes went to these states somewhere between the two moments."""
        before = dict(self._now)
        self._now |= changed
        self._starts.append(start_ns)
        self._ends.append(end_ns)
        self._during.append(_during(before, self._now))
        self._after.append((dict(self._now),))

    def switching(self, before: Chain) -> None:
        """Another chain is going to take the place of `before`: until `switched` it does not."""
        self._switches.append(_Switched(_NOT_YET, _NOT_YET, before))

    def switched(self, start_ns: int, end_ns: int) -> None:
        """It did so somewhere between the two moments."""
        self._switches[-1] = _Switched(start_ns, end_ns, self._switches[-1].before)

    @property
    def last_switch(self) -> tuple[int, int]:
        """Between which moments (ns) the last switch was."""
        return self._switches[-1].start_ns, self._switches[-1].end_ns

    @property
    def earlier(self) -> tuple[Chain, ...]:
        """The chains that there were before the one that there is now."""
        return tuple(switched.before for switched in self._switches)

    def chains(self, time_ns: int, direction: Direction, now: Chain) -> tuple[Chain, ...]:
        """The chains of which one must allow what is seen at that moment in that direction.

        While a switch runs that is either. Afterwards nothing goes up but by the new one; answers
        by the old path may come down for a while: who sends them knows nothing of the switch, and
        they end where they arrive.
        """
        for index, switched in enumerate(self._switches):
            if time_ns <= switched.end_ns:
                later = (*self.earlier, now)[index + 1]
                before = switched.before
                return (before,) if time_ns < switched.start_ns else (before, later)
        if direction is Direction.UP:
            return (now,)
        late = (s.before for s in self._switches if time_ns - s.end_ns < _LATE_NS)
        return (now, *late)

    @property
    def now(self) -> States:
        return dict(self._now)

    def at(self, time_ns: int) -> tuple[States, ...]:
        """The states that must all allow what is seen at that moment."""
        index = bisect.bisect_right(self._starts, time_ns) - 1
        if index < 0:
            return _NOTHING
        if time_ns <= self._ends[index]:
            return self._during[index]
        return self._after[index]


def _during(before: States, after: States) -> tuple[States, ...]:
    """The states that must all allow what is seen between two: of an opening or a closing the more
    open side alone."""
    was_open = {name for name, state in before.items() if state in OPEN}
    is_open = {name for name, state in after.items() if state in OPEN}
    if was_open <= is_open:
        return (dict(after),)
    return (dict(before),) if is_open <= was_open else (dict(before), dict(after))

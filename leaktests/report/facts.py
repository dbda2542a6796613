"""What every format tells: a run looked at once, as words and numbers (pure).

`gather.report` makes it of a run; the formats only lay it out. Redaction and the cleaning of
strings happen here, before any format, so that no format can forget them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from netchain.drawing import Box

T = TypeVar("T")
SIGNS = {"clean": "✓", "leak": "✗", "inconclusive": "?"}
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Cause:
    """The rule that should have held a packet: the last drop of a chain of a qube's rule file."""

    qube: str
    file: str
    line: int
    chain: str
    why: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Packet:
    time_ns: int
    frame: bytes


@dataclass(frozen=True)
class Evidence:
    """Packets of one probe (or of none) that leaked on one link, in one direction, in one sweep or
    trial. Times are ms since the run began; `packets` are the first of `count`."""

    id: str
    probe: str
    trial: str
    state: str
    name: str
    link: str
    direction: str
    time: str
    what: str
    count: int
    first_ms: float
    last_ms: float
    cause: Cause
    fix: str
    packets: tuple[Packet, ...]
    without_ethernet: bool = False

    @property
    def title(self) -> str:
        if self.trial:
            return f"{self.trial} {self.name}"
        return f"{self.probe} {self.name}, {self.state}".lstrip()

    @property
    def window(self) -> str:
        if self.count == 1:
            return f"1 packet, at {self.first_ms:.1f} ms"
        length = self.last_ms - self.first_ms
        return f"{self.count} packets in {length:.1f} ms, from {self.first_ms:.1f} ms on"


@dataclass(frozen=True)
class ProbeRow:
    """A probe in one state: how many packets, how many leaked on which link, and what keeps
    silence from being a proof."""

    id: str
    name: str
    state: str
    shots: int
    verdict: str
    leaked: Counts
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SweepRow:
    """One state; `other` counts leaked packets that no probe sent."""

    state: str
    verdict: str
    probes: int
    shots: int
    seconds: float
    other: Counts


@dataclass(frozen=True)
class TrialRow:
    id: str
    name: str
    verdict: str
    sent: int
    seconds: float
    window_ms: float
    leaked: Counts
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TapRow:
    """A link: what its tap heard. `heard` is False where the link had no tap at all."""

    link: str
    frames: int
    canary: bool
    drops: int
    leaked: int
    heard: bool = True

    @property
    def verdict(self) -> str:
        if self.leaked:
            return "leak"
        return "clean" if self.heard and self.canary and not self.drops else "inconclusive"


@dataclass(frozen=True)
class ControlRow:
    ok: bool
    seen: int
    missing: tuple[str, ...]
    detail: str

    @property
    def sentence(self) -> str:
        if self.ok:
            return f"with the rules opened, all {self.seen} probes were seen"
        missing = f", not {', '.join(self.missing)}" if self.missing else ""
        return f"with the rules opened, {self.seen} probes were seen{missing}"


@dataclass(frozen=True)
class Report:
    """Everything that is told, in the order in which it happened. `doubts` are of the whole run."""

    chain: str
    verdict: str
    sentence: str
    seed: int
    command: str
    again: str
    following: str
    started: str
    seconds: float
    qubes: tuple[Box, ...]
    probes: tuple[ProbeRow, ...]
    sweeps: tuple[SweepRow, ...]
    trials: tuple[TrialRow, ...]
    taps: tuple[TapRow, ...]
    leaks: tuple[Evidence, ...]
    doubts: tuple[str, ...]
    inconclusive: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    control: ControlRow | None
    conditions: Mapping[str, str]
    redacted: bool = False


def mapped(value: T, change: Callable[[str], str]) -> T:
    """The same with every string in it changed."""
    found: Any = value
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        found = change(value)
    elif isinstance(value, tuple):
        found = tuple(mapped(item, change) for item in value)
    elif isinstance(value, Mapping):
        found = {mapped(key, change): mapped(item, change) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: mapped(getattr(value, f.name), change) for f in fields(value)}
        found = replace(value, **changed)
    result: T = found
    return result


def printable(text: str) -> str:
    """The text without what a terminal would obey or XML cannot hold."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "�" for c in text)

"""What a whole run found: data for the reports (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from leaktests.engine.sweep import CLEAN, INCONCLUSIVE, LEAK, Found, Sweep
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Chain
from netchain.wire.judge import LinkVerdict


@dataclass(frozen=True)
class Trial:
    """One fault (or hostile act) under a flood: what happened on every link from before it until
    the chain was whole again.

    `sent` counts the flood's packets; a leak's window is from its first to its last frame, in ms.
    """

    id: str
    name: str
    links: tuple[LinkVerdict, ...]
    found: tuple[Found, ...]
    doubts: tuple[str, ...]
    sent: int
    seconds: float

    @property
    def verdict(self) -> str:
        if self.found:
            return LEAK
        return INCONCLUSIVE if self.doubts else CLEAN

    @property
    def window_ms(self) -> float:
        times = [found.leak.time_ns for found in self.found]
        return (max(times) - min(times)) / 1e6 if times else 0.0


@dataclass(frozen=True)
class Control:
    """Whether the detector fires: probes that an open router was seen to pass on, and those that
    it should have passed on but did not (each as `ID name`)."""

    seen: int
    missing: tuple[str, ...] = ()
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.seen > 0 and not self.missing


@dataclass(frozen=True)
class Tap:
    """One tapped link over the whole run."""

    link: str
    frames: int
    canary: bool
    drops: int


@dataclass(frozen=True)
class Run:
    """Everything that a report tells.

    `skipped` says what was not tested, and why; `conditions` backend, kernel, versions, and for
    each qube whether its rules are those of the profile.
    """

    chain: Chain
    seed: int
    started: float
    seconds: float
    command: str
    sweeps: tuple[Sweep, ...] = ()
    trials: tuple[Trial, ...] = ()
    control: Control | None = None
    taps: tuple[Tap, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    doubts: tuple[str, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def found(self) -> tuple[Found, ...]:
        in_sweeps = tuple(found for sweep in self.sweeps for found in sweep.found)
        return in_sweeps + tuple(found for trial in self.trials for found in trial.found)

    @property
    def inconclusive(self) -> tuple[str, ...]:
        """Every reason why silence is no proof here."""
        tapped = {tap.link for tap in self.taps}
        every = [link.name for link in (*links(self.chain), *tunnels(self.chain))]
        reasons = [*self.doubts, *(f"nobody listened on {n}" for n in every if n not in tapped)]
        for sweep in self.sweeps:
            reasons += [f"{sweep.state}: {doubt}" for doubt in sweep.doubts]
            reasons += [f"{sweep.state}: {shot}: {why}" for shot, why in sweep.unsent]
        for trial in self.trials:
            reasons += [f"{trial.id} {trial.name}: {doubt}" for doubt in trial.doubts]
        reasons += [
            f"the tap on {t.link} did not hear its canary" for t in self.taps if not t.canary
        ]
        reasons += [f"{t.drops} frames of {t.link} were lost" for t in self.taps if t.drops]
        if self.control is not None and not self.control.ok:
            missing = ", ".join(self.control.missing) or "nothing was seen"
            reasons.append(f"the control does not show what it must: {missing}")
        return tuple(reasons)

    @property
    def verdict(self) -> str:
        if self.found:
            return LEAK
        nothing = not self.trials and not any(sweep.shots for sweep in self.sweeps)
        return INCONCLUSIVE if nothing or self.inconclusive else CLEAN

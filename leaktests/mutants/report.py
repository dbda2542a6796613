"""The result of a run, for people and as JSON (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leaktests.mutants.run import EQUIVALENT, MISSED, Outcome, Verdict
from leaktests.mutants.trial import CAUGHT, DEAD, REDUNDANT

_KINDS = (CAUGHT, DEAD, REDUNDANT, EQUIVALENT, MISSED)


def document(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints; docs/mutants.md describes it."""
    return {
        "mutants": len(outcome.verdicts),
        "caught": len(outcome.of(CAUGHT)),
        "dead": len(outcome.of(DEAD)),
        "redundant": [
            {"id": v.id, "holders": v.holders, "probes": v.probes} for v in outcome.of(REDUNDANT)
        ],
        "equivalent": [{"id": v.id, "reason": v.detail} for v in outcome.of(EQUIVALENT)],
        "missed": [
            {"id": v.id, "diff": v.diff, "verdict": v.verdict, "expected": v.expected}
            for v in outcome.missed
        ],
        "false_alarms": len(outcome.alarms),
        "needless_probes": outcome.needless,
        "silent_probes": outcome.unheard,
        "alarms": outcome.alarms,
        "doubts": outcome.doubts,
        "stale": outcome.stale,
        "shots": outcome.shots,
        "seconds": round(outcome.seconds, 1),
        "verdicts": {
            v.id: {"verdict": v.verdict, "probes": v.probes, "detail": v.detail}
            for v in outcome.verdicts
        },
    }


def text(outcome: Outcome) -> Iterator[str]:
    """A table by role, then all that is wrong."""
    yield f"{'':12} {'mutants':>8}" + "".join(f"{kind:>12}" for kind in _KINDS)
    for role in dict.fromkeys(v.role for v in outcome.verdicts):
        yield _row(role, [v for v in outcome.verdicts if v.role == role])
    yield _row("all", outcome.verdicts)
    yield ""
    for v in outcome.missed:
        said = f" (expected: {v.expected})" if v.expected else ""
        yield f"{v.verdict}: {v.id}{said}"
        yield from (f"    {line}" for line in v.diff)
    yield from (f"false alarm: {alarm}" for alarm in outcome.alarms)
    yield from (f"doubt: {doubt}" for doubt in outcome.doubts)
    yield from (f"argued as equivalent, but it is not: {name}" for name in outcome.stale)
    yield f"{len(outcome.needless)} probes are the only one for no mutant, of which"
    yield f"{len(outcome.unheard)} noticed none (--json lists them)"
    yield f"{sum(outcome.shots.values())} packets a round; {outcome.seconds:.0f} s"
    yield _sentence(outcome)


def _row(name: str, verdicts: list[Verdict]) -> str:
    counts = [sum(v.verdict == kind for v in verdicts) for kind in _KINDS]
    return f"{name:12} {len(verdicts):8}" + "".join(f"{count:12}" for count in counts)


def _sentence(outcome: Outcome) -> str:
    match outcome.exit_code:
        case 0:
            return "Every mutant was noticed, or is held or argued; no false alarm."
        case 10:
            return "Missed mutants or false alarms: see above."
        case _:
            return "Inconclusive: see the doubts above."

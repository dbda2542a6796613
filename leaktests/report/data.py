"""The JSON document, as docs/report.md and schema.json describe it (pure)."""

from __future__ import annotations

import json
from typing import Any

from leaktests.report.facts import Counts, Evidence, ProbeRow, Report, SweepRow, TapRow, TrialRow

SCHEMA = "netchain/1"


def render(report: Report) -> str:
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """What `leaktest --json` prints."""
    return {
        "schema": SCHEMA,
        "chain": report.chain,
        "verdict": report.verdict,
        "sentence": report.sentence,
        "seed": report.seed,
        "command": report.command,
        "again": report.again,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "redacted": report.redacted,
        "qubes": [
            {"name": q.name, "role": str(q.role), "label": str(q.label), "netvm": q.netvm}
            for q in report.qubes
        ],
        "states": [_state(row) for row in report.sweeps],
        "probes": [_probe(row) for row in report.probes],
        "trials": [_trial(row) for row in report.trials],
        "taps": [_tap(row) for row in report.taps],
        "leaks": [_leak(leak) for leak in report.leaks],
        "inconclusive": list(report.inconclusive),
        "skipped": [{"what": what, "why": why} for what, why in report.skipped],
        "control": _control(report),
        "conditions": dict(report.conditions),
    }


def _state(row: SweepRow) -> dict[str, Any]:
    return {
        "state": row.state,
        "verdict": row.verdict,
        "probes": row.probes,
        "shots": row.shots,
        "seconds": round(row.seconds, 3),
        "leaked_by_nobody": _counts(row.other),
    }


def _probe(row: ProbeRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "shots": row.shots,
        "verdict": row.verdict,
        "leaked": _counts(row.leaked),
        "reasons": list(row.reasons),
    }


def _trial(row: TrialRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "verdict": row.verdict,
        "sent": row.sent,
        "seconds": round(row.seconds, 3),
        "window_ms": round(row.window_ms, 3),
        "leaked": _counts(row.leaked),
        "reasons": list(row.reasons),
    }


def _tap(row: TapRow) -> dict[str, Any]:
    return {
        "link": row.link,
        "heard": row.heard,
        "canary": row.canary,
        "drops": row.drops,
        "frames": row.frames,
        "leaked": row.leaked,
    }


def _leak(leak: Evidence) -> dict[str, Any]:
    cause = leak.cause
    return {
        "id": leak.id,
        "probe": leak.probe or None,
        "trial": leak.trial or None,
        "state": leak.state or None,
        "name": leak.name,
        "link": leak.link,
        "direction": leak.direction,
        "time": leak.time,
        "what": leak.what,
        "count": leak.count,
        "first_ms": leak.first_ms,
        "last_ms": leak.last_ms,
        "cause": {
            "qube": cause.qube,
            "file": cause.file,
            "line": cause.line,
            "chain": cause.chain,
            "why": cause.why,
        },
        "fix": leak.fix,
        "frame": leak.packets[0].frame.hex() if leak.packets else None,
    }


def _control(report: Report) -> dict[str, Any] | None:
    control = report.control
    if control is None:
        return None
    return {
        "ok": control.ok,
        "seen": control.seen,
        "missing": list(control.missing),
        "detail": control.detail,
    }


def _counts(counts: Counts) -> dict[str, int]:
    return dict(sorted(counts.items()))

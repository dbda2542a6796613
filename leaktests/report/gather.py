"""A run looked at once: packets put together as evidence, verdicts of probes, sentences (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from leaktests.engine.outcome import Run, Trial
from leaktests.engine.sweep import CLEAN, INCONCLUSIVE, LEAK, Sweep
from leaktests.report import evidence
from leaktests.report.facts import (
    ControlRow,
    Evidence,
    ProbeRow,
    Report,
    SweepRow,
    TapRow,
    TrialRow,
    mapped,
    printable,
)
from leaktests.report.rules import Rules
from netchain.drawing import Box
from netchain.model.allowed import links


def report(run: Run, rules: Rules) -> Report:
    """Everything that the formats tell of the run."""
    run = _distinct(run)
    leaks = evidence.of(run, rules)
    doubts = _doubts(run)
    found = Report(
        chain=str(run.chain.name),
        verdict=run.verdict,
        sentence=_sentence(run, leaks),
        seed=run.seed,
        command=run.command,
        again=_again(run),
        following=_following(run),
        started=f"{datetime.fromtimestamp(run.started, UTC):%Y-%m-%dT%H:%M:%SZ}",
        seconds=run.seconds,
        qubes=tuple(Box(q.name, q.role, q.label, q.netvm) for q in run.chain.from_uplink()),
        probes=tuple(row for sweep in run.sweeps for row in _probes(run, sweep, doubts)),
        sweeps=tuple(_sweep(sweep, doubts) for sweep in run.sweeps),
        trials=tuple(_trial(trial, doubts) for trial in run.trials),
        taps=_taps(run),
        leaks=leaks,
        doubts=doubts,
        inconclusive=run.inconclusive,
        skipped=run.skipped,
        control=_control(run),
        conditions=run.conditions,
    )
    return mapped(found, printable)


def _distinct(run: Run) -> Run:
    """The same run with a number behind each state and trial that comes again."""
    seen = Counter[str]()

    def numbered(name: str) -> str:
        seen[name] += 1
        return f"{name} ({seen[name]})" if seen[name] > 1 else name

    sweeps = tuple(replace(sweep, state=numbered(sweep.state)) for sweep in run.sweeps)
    names = [numbered(f"{trial.id} {trial.name}") for trial in run.trials]
    trials = tuple(
        replace(trial, name=name.removeprefix(f"{trial.id} "))
        for trial, name in zip(run.trials, names, strict=True)
    )
    return replace(run, sweeps=sweeps, trials=trials)


def _sentence(run: Run, leaks: tuple[Evidence, ...]) -> str:
    if run.verdict == LEAK:
        *most, last = dict.fromkeys(leak.link for leak in leaks)
        where = f"{', '.join(most)} and {last}" if most else last
        return f"LEAK: {_many(len(run.found), 'forbidden packet')} on {where}."
    if run.verdict == CLEAN:
        return f"Clean: {_extent(run)}; no link carried a forbidden packet."
    reasons = _many(len(run.inconclusive), "reason") if run.inconclusive else "nothing was tested"
    return f"Inconclusive: no leak was seen, but silence is no proof here ({reasons})."


def _extent(run: Run) -> str:
    probes = {probe.id for sweep in run.sweeps for probe in sweep.shots}
    shots = sum(sum(sweep.shots.values()) for sweep in run.sweeps)
    parts = []
    sweeps = sum(bool(sweep.shots) for sweep in run.sweeps)
    if sweeps:
        states = _many(sweeps, "state")
        parts.append(f"{_many(shots, 'packet')} of {_many(len(probes), 'probe')} in {states}")
    if run.trials:
        parts.append(_many(len(run.trials), "trial"))
    return " and ".join(parts)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _again(run: Run) -> str:
    """The command with the seed that makes the same packets again."""
    has_seed = "--seed" in run.command.replace("=", " ").split()
    return run.command if has_seed else f"{run.command} --seed {run.seed}"


def _following(run: Run) -> str:
    if run.verdict == LEAK:
        return f"netchain down {run.chain.name}"
    return "netchain doctor" if run.verdict == INCONCLUSIVE else f"netchain status {run.chain.name}"


def _doubts(run: Run) -> tuple[str, ...]:
    """What keeps the silence of the whole run from being a proof."""
    found = list(run.doubts)
    found += [f"the tap on {t.link} did not hear its canary" for t in run.taps if not t.canary]
    found += [f"{t.drops} frames of {t.link} were lost" for t in run.taps if t.drops]
    if run.control is not None and not run.control.seen:
        found.append("the control saw no probe at all")
    return tuple(found)


def _probes(run: Run, sweep: Sweep, doubts: tuple[str, ...]) -> list[ProbeRow]:
    probes = {probe.id: probe for probe in sweep.shots}
    shots = Counter[str]()
    for probe, count in sweep.shots.items():
        shots[probe.id] += count
    reasons = {
        id_: [f"{shot}: {why}" for shot, why in sweep.unsent if shot.probe.id == id_]
        for id_ in probes
    }
    missing = run.control.missing if run.control is not None else ()
    for name in missing:
        id_ = name.split(" ", 1)[0]
        if id_ in reasons:
            reasons[id_].append("the control did not show it")
    rows = []
    for id_, probe in probes.items():
        leaked = Counter(f.leak.link for f in sweep.found if f.shot and f.shot.probe.id == id_)
        why = (*reasons[id_], *sweep.doubts, *doubts)
        verdict = _verdict(bool(leaked), why)
        rows.append(ProbeRow(id_, probe.name, sweep.state, shots[id_], verdict, leaked, why))
    return rows


def _verdict(leaked: bool, reasons: tuple[str, ...]) -> str:
    if leaked:
        return LEAK
    return INCONCLUSIVE if reasons else CLEAN


def _sweep(sweep: Sweep, doubts: tuple[str, ...]) -> SweepRow:
    probes = {probe.id for probe in sweep.shots}
    other = Counter(found.leak.link for found in sweep.found if found.shot is None)
    verdict = INCONCLUSIVE if doubts and sweep.verdict == CLEAN else sweep.verdict
    count = sum(sweep.shots.values())
    return SweepRow(sweep.state, verdict, len(probes), count, sweep.seconds, other)


def _trial(trial: Trial, doubts: tuple[str, ...]) -> TrialRow:
    leaked = Counter(found.leak.link for found in trial.found)
    reasons = (*trial.doubts, *doubts)
    return TrialRow(
        trial.id, trial.name, _verdict(bool(leaked), reasons), trial.sent, trial.seconds,
        trial.window_ms, leaked, reasons,
    )  # fmt: skip


def _taps(run: Run) -> tuple[TapRow, ...]:
    """Every tap; and every link of the chain that had none, since that proves nothing."""
    leaked = Counter(found.leak.link for found in run.found)
    rows = [TapRow(t.link, t.frames, t.canary, t.drops, leaked[t.link]) for t in run.taps]
    names = {tap.link for tap in run.taps}
    silent = [link.name for link in links(run.chain) if link.name not in names]
    silent += [name for name in leaked if name not in names and name not in silent]
    rows += [TapRow(name, 0, False, 0, leaked[name], heard=False) for name in silent]
    return tuple(rows)


def _control(run: Run) -> ControlRow | None:
    control = run.control
    if control is None:
        return None
    return ControlRow(control.ok, control.seen, control.missing, control.detail)

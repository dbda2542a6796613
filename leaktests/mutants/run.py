"""All mutants over the workers, two at a time or as many as there are processors.

A worker that ends early leaves its mutants untried: that is a doubt, and the run inconclusive.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from leaktests.catalogue import probes
from leaktests.mutants import equivalent, rulefile, worker
from leaktests.mutants.locks import Lock
from leaktests.mutants.observed import name_of
from leaktests.mutants.operators import Mutant, diff, mutants
from leaktests.mutants.rulefile import RuleFile
from leaktests.mutants.scenes import scenes
from leaktests.mutants.trial import DEAD, REFUSED, SILENT

EQUIVALENT, MISSED, UNTRIED = "equivalent", "missed", "untried"
_CHUNK = 16
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant. `expected` is what a list of further edits said of it."""

    id: str
    role: str
    verdict: str
    diff: tuple[str, ...]
    probes: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    detail: str = ""
    expected: str = ""

    @property
    def surprising(self) -> bool:
        return self.verdict != UNTRIED and self.expected not in ("", self.verdict)


@dataclass
class Outcome:
    """Everything that a run showed."""

    verdicts: list[Verdict] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    shots: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def of(self, *kinds: str) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.verdict in kinds]

    @property
    def needless(self) -> list[str]:
        """The probes that are for no mutant the only one to notice it."""
        sole = {v.probes[0] for v in self.verdicts if len(v.probes) == 1}
        return [name for name in dict.fromkeys(map(name_of, probes())) if name not in sole]

    @property
    def unheard(self) -> list[str]:
        """The probes that noticed nothing at all."""
        heard = {probe for verdict in self.verdicts for probe in verdict.probes}
        return [name for name in dict.fromkeys(map(name_of, probes())) if name not in heard]

    @property
    def missed(self) -> list[Verdict]:
        return [v for v in self.verdicts if v.verdict == MISSED or v.surprising]

    @property
    def exit_code(self) -> int:
        """10: a mutant was missed, or the rules as they are let something through; 12: something
        keeps this from being a proof."""
        if self.missed or self.alarms:
            return 10
        return 12 if self.doubts or self.stale or not self.verdicts else 0


def files(directory: Path) -> dict[str, RuleFile]:
    """The rule files by role. OSError or ValueError when one is missing or cannot be read."""
    roles = dict.fromkeys(scene.role for scene in scenes())
    texts = {role: (directory / f"{role}.nft").read_text(encoding="utf-8") for role in roles}
    return {role: rulefile.parse(role, text) for role, text in texts.items()}


@dataclass(frozen=True)
class Wanted:
    """What is to be tried, and what is expected of which."""

    mutants: Sequence[Mutant]
    locks: Sequence[Lock] = ()
    expected: Mapping[str, str] = field(default_factory=dict)


def run(rules: Mapping[str, RuleFile], wanted: Wanted, progress: Progress) -> Outcome:
    """Try the mutants."""
    start = time.monotonic()
    outcome = Outcome()
    found: dict[str, dict[str, Any]] = {}
    reasons = equivalent.reasons(rules)
    free = SimpleQueue[int]()
    for cpu in os.sched_getaffinity(0):
        free.put(cpu)
    with ThreadPoolExecutor(max_workers=free.qsize()) as pool:
        for lines in pool.map(
            lambda job: _worker(job, free, progress), _jobs(rules, wanted, reasons)
        ):
            _take_in(outcome, found, lines)
    tried: list[tuple[str, str, tuple[str, ...]]] = [
        (m.id, m.role, tuple(diff(rules[m.role].lines, m.edits))) for m in wanted.mutants
    ]
    tried += [(lock.id, lock.role, lock.diff) for lock in wanted.locks]
    for name, role, changed in tried:
        verdict = Verdict(name, role, UNTRIED, changed, expected=wanted.expected.get(name, ""))
        outcome.verdicts.append(_judged(verdict, found.get(name), reasons))
    silent = {v.id for v in outcome.verdicts if v.verdict == EQUIVALENT}
    tried_ids = {v.id for v in outcome.verdicts}
    outcome.stale = sorted(name for name in reasons if name in tried_ids - silent)
    outcome.doubts += [f"{v.id} was not tried" for v in outcome.of(UNTRIED)]
    outcome.seconds = time.monotonic() - start
    return outcome


def _jobs(rules: Mapping[str, RuleFile], wanted: Wanted, reasons: Mapping[str, str]) -> list[str]:
    """What each worker reads, the longest first."""
    jobs = []
    for role, file in sorted(rules.items(), key=lambda item: -len(item[1].lines)):
        tried = [mutant for mutant in wanted.mutants if mutant.role == role]
        # Equal shares, each chain's mutants spread: some take longer than others, and what was
        # found of one helps with the next.
        count = min(-(-len(tried) // _CHUNK), os.cpu_count() or 1)
        shares = [tried[start::count] for start in range(count)]
        jobs += [worker.job(role, file.text, share, reasons) for share in shares]
        held = [lock.id for lock in wanted.locks if lock.role == role]
        jobs += [worker.lock_job(held)] if held else []
    return jobs


def _worker(job: str, free: SimpleQueue[int], progress: Progress) -> list[dict[str, Any]]:
    """Run one on a processor of its own; its lines, and one more with the reason when it ended
    early."""
    cpu = free.get()
    try:
        return _worked(job, cpu, progress)
    finally:
        free.put(cpu)


def _worked(job: str, cpu: int, progress: Progress) -> list[dict[str, Any]]:
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
    command = [*unshare, sys.executable, "-m", "leaktests.mutants.worker"]
    process = subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )  # fmt: skip
    lines: list[dict[str, Any]] = []
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(job)
        process.stdin.close()
        for line in process.stdout:
            lines.append(json.loads(line))
            progress(lines[-1].get("id", ""))
    if process.returncode:
        lines.append({"error": f"a worker ended with {process.returncode}"})
    return lines


def _take_in(
    outcome: Outcome, found: dict[str, dict[str, Any]], lines: Iterable[dict[str, Any]]
) -> None:
    for item in lines:
        if "error" in item:
            outcome.doubts.append(item["error"])
        elif "scene" in item:
            outcome.shots[item["scene"]] = item["shots"]
            outcome.alarms += [f"{item['scene']}: {alarm}" for alarm in item["alarms"]]
            outcome.doubts += [f"{item['scene']}: {doubt}" for doubt in item["doubts"]]
            outcome.doubts += [
                f"{item['scene']}: unedited, this fails: {what}" for what in item["failing"]
            ]
        else:
            found[item["id"]] = item
            outcome.doubts += [f"{item['id']}: {doubt}" for doubt in item["doubts"]]


def _judged(
    verdict: Verdict, item: Mapping[str, Any] | None, reasons: Mapping[str, str]
) -> Verdict:
    """With what the worker said of it."""
    if item is None:
        return verdict
    kind = DEAD if item["verdict"] == REFUSED else item["verdict"]
    detail = item["detail"]
    if kind == SILENT:
        argued = verdict.id in reasons
        kind, detail = (EQUIVALENT, reasons[verdict.id]) if argued else (MISSED, detail)
    return replace(
        verdict, verdict=kind, probes=tuple(item["probes"]), holders=tuple(item["holders"]),
        detail=detail,
    )  # fmt: skip


def every(rules: Mapping[str, RuleFile]) -> list[Mutant]:
    return [mutant for file in rules.values() for mutant in mutants(file)]

"""One role's mutants, tried in a process of its own that is root of its own namespaces.

It gets its job as JSON on standard input, and answers with a line of JSON for each scene that it
has tried unedited (before the mutants and after them) and for each mutant. `run` starts it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, replace
from typing import Any

from leaktests.mutants import rulefile
from leaktests.mutants.holders import Search
from leaktests.mutants.locks import locks, result
from leaktests.mutants.operators import Mutant
from leaktests.mutants.scenes import scenes
from leaktests.mutants.trial import CAUGHT, DEAD, REDUNDANT, REFUSED, SILENT, Result, Trials

Say = Callable[[dict[str, Any]], None]


def job(role: str, text: str, mutants: Sequence[Mutant], argued: Container[str]) -> str:
    """What the worker reads. For what is argued to be equivalent nobody else is looked for."""
    edits = [[m.id, m.opens, list(m.edits.items())] for m in mutants]
    known = [m.id for m in mutants if m.id in argued]
    return json.dumps({"role": role, "text": text, "mutants": edits, "argued": known})


def lock_job(names: Sequence[str]) -> str:
    """The same for locks."""
    return json.dumps({"locks": list(names)})


def work(message: dict[str, Any], say: Say) -> None:
    """Every mutant in every scene of its role until one notices it; the search for who else holds
    comes last, for what no scene has noticed."""
    if "locks" in message:
        for lock in (lock for lock in locks() if lock.id in message["locks"]):
            say({"id": lock.id, **asdict(result(lock))})
        return
    role = message["role"]
    file = rulefile.parse(role, message["text"])
    pending = {
        name: Mutant(name, role, opens, dict(edits)) for name, opens, edits in message["mutants"]
    }
    doubts: dict[str, tuple[str, ...]] = {}
    argued = frozenset(message["argued"])
    for searching in (False, True):
        for scene in (scene for scene in scenes() if scene.role == role):
            left = {
                name: mutant
                for name, mutant in pending.items()
                if not searching or name not in argued
            }
            if not left:
                break
            trials = Trials(scene, file)
            judge = Search(trials).held if searching else trials.noticed
            _unedited(trials, say)
            for name, mutant in left.items():
                found = judge(mutant)
                doubts[name] = (*doubts.get(name, ()), *found.doubts)
                if found.verdict in (CAUGHT, DEAD, REDUNDANT, REFUSED):
                    say({"id": name, **asdict(replace(found, doubts=doubts[name]))})
                    del pending[name]
            _unedited(trials, say)
            trials.bench.close()
    for name in pending:
        say({"id": name, **asdict(Result(SILENT, doubts=doubts[name]))})


def _unedited(trials: Trials, say: Say) -> None:
    """The file as it is: what gets through is a false alarm, what fails makes every other verdict
    doubtful."""
    base = trials.base()
    say({
        "scene": f"{trials.scene.role}: {trials.scene.name}",
        "shots": trials.shots,
        "alarms": [f"{b.where}: {b.what} <- {b.probe}" for b in base.breaches.values()],
        "failing": trials.needs(),
        "doubts": base.doubts,
    })  # fmt: skip


def main() -> None:
    def say(item: dict[str, Any]) -> None:
        print(json.dumps(item), flush=True)

    work(json.load(sys.stdin), say)


if __name__ == "__main__":
    main()

"""Crashes: netchain, its keeper and its rule loader killed at every effect, under a flood.

The main chain: `up`, an `up` that mends, and `down`, each struck before every effect and in the
middle of it; in a chain of two VPNs a switch from one to the other; the rule loader over every
load; nft refusing every load; the keeper at every step. Takes about half an hour. What is no
harmless kill is printed to standard error as it is found.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "parts"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "lab"))

import figures
from commands import CHAIN, Netchain
from crash_blows import MidLoad, is_load, refuse
from crash_scene import Scene, scene
from crash_trial import (
    SWITCH,
    TO_AND_FRO,
    VERBS,
    Kill,
    Summary,
    Verb,
    points,
    strike,
    strike_keeper,
)
from crash_watch import BEFORE, Point

from leaktests.engine import switches

GOALS: figures.Goals = {
    "flood_after_kill_min": (">", 0),
    "outside_allowed": ("==", 0),
    "not_converged": ("==", 0),
    "not_counted": ("==", 0),
}


def in_scene(scene: Scene, verbs: Sequence[Verb]) -> Iterator[Kill]:
    """All that leaves the keeper alive; where there is no link to flood, the command alone."""
    for verb in verbs:
        every = points(scene, verb)
        for point, effect in every:
            kill = strike(scene, verb, point)
            yield kill
            if kill.cannot_count:
                continue
            if is_load(effect):
                yield strike(scene, verb, point, MidLoad(scene), "rule loader")
            if is_load(effect) and point.when == BEFORE:
                yield strike(scene, verb, point, refuse, "nft refuses")


def kills(netchain: Netchain) -> Iterator[Kill]:
    steps: dict[str, list[Point]] = {}
    with scene(netchain, CHAIN) as one:
        yield from in_scene(one, VERBS)
        for verb in VERBS:
            first = {effect.split(":")[0]: n for n, effect in
                     reversed(list(enumerate(one.effects[verb.name], 1)))}  # fmt: skip
            steps[verb.name] = [Point(n, BEFORE) for n in sorted(first.values())]
    for verb in VERBS:
        for point in steps[verb.name]:
            yield strike_keeper(netchain, CHAIN, verb, point)
    path = netchain.state / "switching.toml"
    path.write_text(switches.profile())
    with scene(netchain, str(path), TO_AND_FRO) as one:
        yield from in_scene(one, [SWITCH])


def measure() -> dict[str, Any]:
    found = []
    with tempfile.TemporaryDirectory(prefix="netchain-bench-") as state:
        os.environ["NETCHAIN_STATE_DIR"] = state
        netchain = Netchain(Path(state))
        try:
            started = netchain("lab", "up")
            assert started.returncode == 0, started.stderr
            for kill in kills(netchain):
                found.append(kill)
                is_harmless = kill.cannot_count or not kill.doubts
                if kill.outside or not kill.converged or not is_harmless:
                    print(kill, file=sys.stderr, flush=True)
        finally:
            netchain("lab", "down")
    summary = Summary.of(found)
    return {
        **asdict(summary),
        "not_converged": summary.tried - summary.converged,
        "not_counted": summary.tried - summary.kills - summary.cannot_count,
    }


if __name__ == "__main__":
    figures.run(str(__doc__), measure, GOALS)

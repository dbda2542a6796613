"""`up` interrupted at its steps, by Ctrl-C or kill -9: closed, and the next one converges.

Interrupted as soon as the step is announced, so mostly within it. Not covered: instants within a
step that take no time at all (a transaction of nft is all or nothing: tests/platform).
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab


def interrupt(netchain: Netchain, path: Path, step: str, how: signal.Signals) -> bool:
    """Start `up` and interrupt it as soon as it announces that step; whether it did."""
    process = netchain.begin("up", str(path))
    assert process.stderr is not None and process.stdout is not None
    reached = False
    for line in process.stderr:
        if line.strip() == step:
            process.send_signal(how)
            reached = True
            break
    process.communicate(timeout=30)
    return reached


def sample(steps: list[str]) -> Iterator[tuple[str, signal.Signals]]:
    """Of each kind of step two if there are two, one for each signal; others in each run."""
    kinds: dict[str, list[str]] = {}
    for step in steps:
        kinds.setdefault(step.split()[1], []).append(step)
    assert {"create", "load", "attach", "unblock", "start", "await", "prove"} <= kinds.keys()
    for of_kind in kinds.values():
        found = random.sample(of_kind, min(len(of_kind), 2))
        yield found[0], signal.SIGINT
        yield found[-1], signal.SIGKILL


def test_up_can_be_interrupted_anywhere(netchain: Netchain, profile: Path) -> None:
    """At a sample of its steps (`scripts/bench crash` kills it at each of them)."""
    netchain("down", str(profile))
    said = netchain("up", str(profile)).stderr.splitlines()
    steps = [line.strip() for line in said if line[:2] in ("+ ", "~ ", "? ")]
    assert len(steps) > 15
    for step, how in sample(steps):
        netchain("down", str(profile))
        assert interrupt(netchain, profile, step, how), step
        status = json.loads(netchain("status", str(profile), "--json").stdout)
        work = status["qubes"][0]
        assert work["name"] == "work"
        last = step.startswith("~ unblock   work")
        assert work["state"] in ("blocked", "missing", *(["ready"] if last else [])), step
        if how is signal.SIGINT:
            assert status["verdict"] != "up", step
        done = netchain("up", str(profile))
        assert done.returncode == 0, f"after {how.name} at {step!r}: {done.stderr}"


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_every_signal_that_ends_up_closes_what_it_has_opened(
    netchain: Netchain, profile: Path, how: signal.Signals
) -> None:
    """SIGHUP: the terminal was closed. Interrupted when gateways are open already."""
    netchain("down", str(profile))
    process = netchain.begin("up", str(profile))
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("? await"):
            process.send_signal(how)
            break
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + how, said
    assert said.count("\n~ block ") + said.startswith("~ block ") >= 4
    status = json.loads(netchain("status", str(profile), "--json").stdout)
    assert {qube["state"] for qube in status["qubes"]} == {"blocked"}
    assert status["verdict"] == "closed"
    assert netchain("up", str(profile)).returncode == 0

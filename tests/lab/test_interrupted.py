"""`up` interrupted at each of its steps, by Ctrl-C or kill -9: closed, and the next one converges.

Interrupted as soon as the step is announced, so mostly within it. Not covered: instants within a
step that take no time at all (a transaction of nft is all or nothing: tests/platform).
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab


def interrupt(netchain: Netchain, path: Path, number: int, how: signal.Signals) -> str | None:
    """Start `up` and interrupt it at its step of that number; the step, None when it has none."""
    process = netchain.begin("up", str(path))
    assert process.stderr is not None and process.stdout is not None
    at = None
    for count, line in enumerate(process.stderr):
        if count == number:
            process.send_signal(how)
            at = line.strip()
            break
    process.communicate(timeout=30)
    return at


def test_up_can_be_interrupted_anywhere(netchain: Netchain, profile: Path) -> None:
    number, kinds = 0, set()
    while True:
        netchain("down", str(profile))
        how = (signal.SIGINT, signal.SIGKILL)[number % 2]
        step = interrupt(netchain, profile, number, how)
        status = json.loads(netchain("status", str(profile), "--json").stdout)
        if step is None:
            break
        kinds.add(step.split()[1])
        work = status["qubes"][0]
        assert work["name"] == "work"
        last = step.startswith("~ unblock   work")
        assert work["state"] in ("blocked", "missing", *(["ready"] if last else [])), step
        if how is signal.SIGINT:
            assert status["verdict"] != "up", step
        done = netchain("up", str(profile))
        assert done.returncode == 0, f"after {how.name} at {step!r}: {done.stderr}"
        number += 1
    assert number > 15
    assert {"create", "load", "attach", "unblock", "start", "await", "prove"} <= kinds


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

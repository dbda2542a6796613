"""What becomes of a real uplink when something of it is killed; in a stand-in computer."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import until
from stand_in import StandIn, pids
from test_real_uplinks import UPLINKS, computer, page, profile, pytestmark, state_of

__all__ = ["computer", "pytestmark"]


def keeper(computer: StandIn) -> int:
    (pid,) = pids(f"netchain-keeper .*@{computer.state}/s/run ")
    return pid


def guard(computer: StandIn) -> int:
    (pid,) = pids(f"netchain-uplink .*@{computer.state}/s/run ")
    return pid


def is_as(computer: StandIn, before: str) -> bool:
    return state_of(computer) == before


def helpers(computer: StandIn) -> list[int]:
    return [pid for pid in pids("^pasta ") if in_stand_in(pid, computer)]


def in_stand_in(pid: int, computer: StandIn) -> bool:
    """Whether the process is in the stand-in's network."""
    ends = (Path(f"/proc/{p}/ns/net").readlink() for p in (pid, computer.host))
    try:
        return len(set(ends)) == 1
    except OSError:
        return False


def kill_guard(computer: StandIn) -> None:
    os.kill(guard(computer), 9)
    assert until(lambda: no_guard(computer), 20)


def no_guard(computer: StandIn) -> bool:
    return not pids(f"netchain-uplink .*@{computer.state}/s/run ")


@pytest.mark.parametrize("uplink", UPLINKS)
def test_a_killed_guard_is_told_and_mended_and_without_it_down_takes_all_back(
    computer: StandIn, uplink: str
) -> None:
    """Then the same chain again, of which the keeper is killed: all is taken back, too."""
    path, before = profile(computer, uplink), state_of(computer)
    with computer.up(path):
        kill_guard(computer)
        status = computer.netchain("status", str(path), "--json")
        assert status.returncode == 3
        assert "has ended" in json.loads(status.stdout)["trouble"]
        done = computer.netchain("up", str(path))
        assert done.returncode == 0, done.stderr
        assert "seen_from" in page(computer, path)
        kill_guard(computer)
    assert until(lambda: is_as(computer, before), 10)
    assert not helpers(computer)
    assert computer.netchain("up", str(path)).returncode == 0
    os.kill(keeper(computer), 9)
    assert until(lambda: no_guard(computer), 20)
    assert until(lambda: is_as(computer, before), 20)
    assert not helpers(computer)


def test_pasta_that_ends_is_noticed_and_mended(computer: StandIn) -> None:
    path = profile(computer, "pasta")
    with computer.up(path):
        (pasta,) = helpers(computer)
        os.kill(pasta, 9)
        assert until(lambda: no_guard(computer), 20)
        status = computer.netchain("status", str(path))
        assert status.returncode == 3 and "has ended" in status.stdout
        assert f"Next: netchain up {path}" in status.stdout
        assert "seen_from" not in page(computer, path, seconds=3)
        assert computer.netchain("up", str(path)).returncode == 0
        assert "seen_from" in page(computer, path)

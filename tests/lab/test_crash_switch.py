"""A switch is killed in the middle: no packet outside what either chain allows, and the next `up`
makes the one that is remembered. Not covered: by which way a packet may go when (that is the work
of test_switch_flood.py); more than a sample of the instants (`scripts/bench crash` takes all).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Netchain
from crash_scene import Scene, scene
from crash_trial import SWITCH, TO_AND_FRO, Summary, points, strike

from leaktests.engine import switches

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]


@pytest.fixture
def switching(
    netchain: Netchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A chain in which a workstation goes from one VPN to another."""
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
    assert netchain("lab", "up").returncode == 0
    path = tmp_path / "switching.toml"
    path.write_text(switches.profile())
    with scene(netchain, str(path), TO_AND_FRO) as found:
        yield found
    netchain("down", str(path))
    Path(netchain.state, "switched", "switching.json").unlink(missing_ok=True)


def test_a_switch_can_be_killed_anywhere(switching: Scene) -> None:
    every = points(switching, SWITCH)
    cut = next(i for i, (_, effect) in enumerate(every) if " group 0" in effect)
    chosen = [every[cut], every[cut + 1], *random.sample(every, 3)]
    found = [strike(switching, SWITCH, point) for point, _ in chosen]
    assert all(kill.status == -9 for kill in found)
    for kill in found:
        assert kill.outside == [] and kill.converged and kill.doubts == [], str(kill)
    assert Summary.of(found).flood_after_kill_min > 1000

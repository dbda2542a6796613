"""The keeper is killed in the middle of a command: no packet outside `allowed()`, and after
`lab up` and `up` a chain that is proved. Its namespaces live on in the sockets of this process,
under the flood. Not covered: more than one instant in a run (`scripts/bench crash` takes one in
each step).
"""

from __future__ import annotations

import random

import pytest
from commands import Netchain
from crash_trial import VERBS, strike_keeper
from crash_watch import BEFORE, Point

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]


def test_the_keeper_can_be_killed(netchain: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
    assert netchain("lab", "up").returncode == 0
    _, mend, _ = VERBS
    number = random.randrange(1, 20)
    kill = strike_keeper(netchain, "vpn-only", mend, Point(number, BEFORE))
    netchain("down", "vpn-only")
    assert kill.outside == [] and kill.converged and kill.doubts == [], str(kill)
    assert kill.status == 1, kill.said

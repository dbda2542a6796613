"""Ways of tor's own (faults T10, T13, T18) with the VPN's qube opened: its packets are found.

The same faults with every lock closed are clean (tests/lab/test_leaktest_faults.py). Not covered:
T12 and T15, whose packets are those of any circuit.
"""

from __future__ import annotations

import time

import pytest
from commands import CHAIN, Netchain
from test_leaktest_faults import named, open_all
from test_leaktest_probes import attached

from leaktests.engine import trial
from leaktests.engine.shot import Markers

pytestmark = [
    pytest.mark.lab,
    pytest.mark.own_taps,
    pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning"),  # stem's
]
PAST_THE_TUNNEL = "sys-proxyvm--sys-firewall"


@pytest.mark.parametrize(
    ("id_", "words"),
    [
        ("T10", "→ 198.18.7.1:9001"),
        ("T13", "→ [3fff:21::1]:9001"),
        ("T18", ":9001"),
    ],
)
def test_tors_own_packets_past_the_tunnel_are_leaks(
    up: Netchain, monkeypatch: pytest.MonkeyPatch, id_: str, words: str
) -> None:
    assert up("up").returncode == 0
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        open_all(chain, site)
        found = trial.run(named(id_), chain, site, Markers(time.time_ns()))
    assert found.verdict == "leak"
    own = {str(one.leak) for one in found.found if one.shot is None}
    assert [leak for leak in own if leak.startswith(PAST_THE_TUNNEL) and words in leak], own

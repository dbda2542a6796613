"""`pytest --pyargs leaktests`: the leak tests of a chain that is up, a test for each probe.

NETCHAIN_CHAIN names the chain (default: vpn-before-tor). One run of the suite is made for all
tests; what is inconclusive fails, too: silence that is no proof is not clean.
"""

from __future__ import annotations

import os
import secrets

import pytest

from leaktests import report, suite
from leaktests.catalogue import probes
from leaktests.engine.outcome import Run
from leaktests.engine.state import STATES
from leaktests.engine.sweep import CLEAN
from leaktests.report.facts import Report
from netchain.commands import common
from netchain.console import Console

CHAIN = os.environ.get("NETCHAIN_CHAIN", common.DEFAULT_CHAIN)
IDS = tuple(dict.fromkeys(probe.id for probe in probes()))


@pytest.fixture(scope="session")
def made() -> Run:
    found = common.find(CHAIN)
    wanted = suite.Wanted(probes(), seed=secrets.randbits(32), command="pytest --pyargs leaktests")
    with common.lock(found.chain), common.site(found, Console(quiet=True)) as (chain, site):
        return suite.run(chain, site, wanted)


@pytest.fixture(scope="session")
def told(made: Run) -> Report:
    return report.of(made)


@pytest.mark.parametrize("state", [known.name for known in STATES])
@pytest.mark.parametrize("probe", IDS)
def test_probe(told: Report, state: str, probe: str) -> None:
    rows = [row for row in told.probes if (row.state, row.id) == (state, probe)]
    if not rows:
        pytest.skip(
            "not in this chain: " + dict(told.skipped).get(f"state {state}", "no such place")
        )
    assert [(row.verdict, row.leaked, row.reasons) for row in rows] == [(CLEAN, {}, ())]


def test_the_whole_run_is_clean(made: Run) -> None:
    """Also what no probe sent, the way back from each state, the control, every tap."""
    assert report.as_text(made).startswith("✓ Clean"), report.as_text(made)

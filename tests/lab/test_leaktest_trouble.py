"""What goes wrong in the middle of a leak test is never clean: each makes it inconclusive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from commands import CHAIN, Netchain
from test_leaktest_probes import attached

from leaktests import suite
from leaktests.catalogue import probes
from leaktests.engine.outcome import Run
from netchain import prove
from netchain.model.chain import Chain
from netchain.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]


def disturbed(
    netchain: Netchain, patch: pytest.MonkeyPatch, when: str, disturb: Callable[[Chain, Site], None]
) -> Run:
    """A run of the suite, disturbed when it says that it begins with something. What nobody hears
    any more is not waited for as long as otherwise."""
    patch.setattr(prove, "_CANARY_S", 1.0)
    with attached(netchain, CHAIN, patch) as (chain, site):

        def say(words: str) -> None:
            if words.startswith(when):
                disturb(chain, site)

        wanted = suite.Wanted(probes(), ("connected", "blocked"), seed=time.time_ns() % 2**32)
        return suite.run(chain, site, wanted, say)


def told(run: Run) -> tuple[str, list[str]]:
    return run.verdict, [f"{found.leak} <- {found.shot}" for found in run.found]


@pytest.fixture
def mended(up: Netchain) -> Netchain:
    assert up("up").returncode == 0
    return up


def test_a_tap_that_dies_in_the_middle(mended: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_the_reader(_chain: Chain, site: Site) -> None:
        def broken(*_: object) -> None:
            raise OSError(5, "broken")

        monkeypatch.setattr(site.sensor.tap, "_serve", broken)

    run = disturbed(mended, monkeypatch, "state blocked", break_the_reader)
    assert told(run) == ("inconclusive", [])
    assert any("the tap failed" in reason for reason in run.inconclusive)


def test_a_qube_that_vanishes(mended: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(_chain: Chain, _site: Site) -> None:
        os.kill(mended.holder(f"{CHAIN}:sys-firewall"), signal.SIGKILL)

    run = disturbed(mended, monkeypatch, "state blocked", kill)
    assert told(run) == ("inconclusive", [])
    assert any("ended early" in reason for reason in run.inconclusive)


def test_a_link_that_goes_down(mended: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_chain: Chain, _site: Site) -> None:
        mended.in_network(f"{CHAIN}:sys-firewall", "ip", "link", "set", "eth0", "down")

    run = disturbed(mended, monkeypatch, "state blocked", down)
    assert told(run) == ("inconclusive", [])


def test_a_full_store(mended: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that did not fit count as lost."""

    def fill(_chain: Chain, site: Site) -> None:
        site.sensor.tap._store._room = site.sensor.tap._store._limit = 10_000

    run = disturbed(mended, monkeypatch, "state blocked", fill)
    assert told(run) == ("inconclusive", [])
    assert any("were lost" in reason for reason in run.inconclusive)

"""A real chain is not a lab: what may be sent there, and what is never done (the lab stands in).

Not covered: a chain that really leads to the internet; none is built yet.
"""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from commands import CHAIN, Netchain
from test_leaktest_probes import attached

from leaktests import suite
from leaktests.catalogue import probes
from leaktests.engine import real
from leaktests.engine.outcome import Run
from leaktests.engine.shot import Markers, shots
from netchain.model.allowed import Direction
from netchain.wire.decode import decode

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
NOBODY = [ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
                                        "2001:db8::/32")]  # fmt: skip


def run(up: Netchain, patch: pytest.MonkeyPatch, *allow: str) -> Run:
    with attached(up, CHAIN, patch) as (chain, site):
        wanted = suite.Wanted(
            probes(), ports=True, allow=frozenset(allow), seed=time.time_ns() % 2**32
        )
        return suite.run(chain, replace(site, is_lab=False), wanted)


def test_nothing_is_ended_swept_or_opened(up: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    before = up("status", "--json").stdout
    found = run(up, monkeypatch)
    assert (found.verdict, found.inconclusive) == ("clean", ())
    assert [sweep.state for sweep in found.sweeps if sweep.shots] == ["connected"]
    assert sum(found.sweeps[0].shots.values()) > 3000
    skipped = dict(found.skipped)
    for state in ("vpn-down", "tor-down", "blocked", "starting"):
        assert skipped[f"state {state}"] == "a real chain: only with --allow faults"
    assert "--allow sweeps" in skipped["every port and protocol"]
    assert found.control is not None and found.control.seen == 6
    assert "nothing was opened" in found.control.detail
    assert up("status", "--json").stdout.split('"detail"')[0] == before.split('"detail"')[0]


def test_all_that_is_sent_goes_to_nobody(up: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    with attached(up, CHAIN, monkeypatch) as (chain, _):
        every = shots(chain, probes(), Markers(1))
    sent = real.harmless(every, frozenset())
    for shot in sent:
        destination = decode(shot.frame).destination
        assert destination is not None
        assert any(ip_address(destination) in network for network in NOBODY), shot
        assert b"netchain" not in shot.frame.lower()
    assert {shot.place.direction for shot in sent} == {Direction.UP}
    hostile = real.harmless(every, frozenset({real.HOSTILE}))
    assert {shot.place.direction for shot in hostile} == set(Direction)
    assert len({shot.probe.id for shot in sent}) > 50


def test_with_a_deaf_uplink_the_control_is_missing(
    up: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sys-net is blocked, so that the uplink carries nothing."""
    monkeypatch.setattr(real, "_FLOW_S", 1.0)
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        site.backend.block(chain, chain["sys-net"].name)
        try:
            found = real.known_flow(chain, site)
        finally:
            site.backend.unblock(chain, chain["sys-net"].name)
    assert "the chain's own traffic on isp" in found.missing
    assert not found.ok

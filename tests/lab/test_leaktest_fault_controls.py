"""Faults that send something of their own: with the VPN's qube opened, that is what leaks.

So each is known to send what its trial would notice. Not covered: other gateways opened (so D20 is
left out: what a program of the workstation sends, the Tor gateway holds).
"""

from __future__ import annotations

import pytest
from commands import Netchain
from test_leaktest_faults import Running, named, open_all, running, tried, whole

from leaktests.catalogue import faults_gateways, faults_server
from leaktests.engine.fault import Fault
from netchain.demo.control import OPEN_RULES
from netchain.model.chain import Role

pytestmark = [
    pytest.mark.lab,
    pytest.mark.own_taps,
    pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning"),  # stem's
]
__all__ = ["Netchain", "running", "whole"]


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (named("G02"), faults_gateways.BOUND),
        (named("G10"), faults_gateways.INNER),
        (named("F17"), faults_server.TELLING[1]),
    ],
    ids=lambda given: given.name if isinstance(given, Fault) else "",
)
def test_what_a_fault_sends_leaks_once_the_vpns_qube_is_open(
    whole: Running, fault: Fault, sent: bytes
) -> None:
    open_all(*whole)
    found = tried(whole, fault)
    assert found.verdict == "leak"
    own = [one for one in found.found if one.shot is None and sent in one.leak.frame]
    assert {one.leak.link for one in own} >= {"sys-proxyvm--sys-firewall"}


def test_a_qube_that_keeps_fragments_is_told_of(whole: Running) -> None:
    chain, site = whole
    net = chain.with_role(Role.NET)[0].name
    site.backend.load_rules(chain, net, OPEN_RULES)
    found = tried(whole, named("F06"))
    assert any(f"{net} keeps fragments" in doubt for doubt in found.doubts)

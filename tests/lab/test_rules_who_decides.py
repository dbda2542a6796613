"""Each guard by itself: which rule stopped a packet, not only that something did.

Most packets would be stopped by two rules or three. What comes out shows a hole only when all of
them fail; so here the counters say that the rule which is meant for a packet met it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from decisions import (
    Decision,
    into_the_tunnel,
    passed_on,
    passing,
    past_may_enter,
    past_may_pass,
    to_the_gateway,
    tor_gateway,
    vpn_proxy,
    workstation,
)
from in_chain import InChain

from netchain.model.chain import Chain

pytestmark = pytest.mark.lab


DECISIONS = {
    "anon-whonix": workstation(),
    "sys-whonix": chain(tor_gateway(), to_the_gateway()),
    "sys-proxyvm": chain(vpn_proxy(), into_the_tunnel()),
    "sys-firewall": chain(passing("sys-firewall"), passed_on("sys-firewall")),
    "sys-net": chain(passing("sys-net"), passed_on("sys-net")),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_the_rule_that_is_meant_decides(shipped: Callable[[str], Chain], name: str) -> None:
    with InChain(shipped("vpn-before-tor"), name) as qube:
        decide(qube, DECISIONS[name])


SECOND_LOCKS = {
    "sys-proxyvm": ("may_enter", past_may_enter()),
    "sys-firewall": ("may_pass", past_may_pass("sys-firewall")),
    "sys-net": ("may_pass", past_may_pass("sys-net")),
}


@pytest.mark.parametrize("name", SECOND_LOCKS)
def test_what_may_pass_is_asked_a_second_time(shipped: Callable[[str], Chain], name: str) -> None:
    first, decisions = SECOND_LOCKS[name]
    with InChain(shipped("vpn-before-tor"), name) as qube:
        qube.nft(f"insert rule inet netchain {first} accept")
        decide(qube, decisions)


def decide(qube: InChain, decisions: Iterator[Decision]) -> None:
    before = qube.counted()
    for rule, link, data in decisions:
        qube.probe(data, link)
        after = qube.counted()
        met = set(after - before)
        assert rule in met, f"{rule!r} did not meet {data.hex()} on {link}, but {met}"
        before = after

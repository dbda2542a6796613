"""netchain verify on a living chain: proved as it is, and every hole shown with its packet.

Not covered: that the packet is seen on the wire.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab
TOR, FIREWALL = "sys-whonix", "sys-firewall"


def verdict(netchain: Netchain, *words: str) -> tuple[int, dict[str, Any]]:
    done = netchain("verify", *words, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def broken(found: dict[str, Any], qube: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["properties"]
            if one["qube"] == qube and one["verdict"] == "counter-example"}  # fmt: skip


@pytest.fixture
def nft(up: Netchain) -> Iterator[Any]:
    """Runs nft in a qube; `up` mends it afterwards."""

    def run(qube: str, *words: str) -> None:
        up.in_network(f"vpn-before-tor:{qube}", "nft", *words)

    yield run
    assert up("up").returncode == 0


def test_the_chain_is_proved(up: Netchain) -> None:
    status, found = verdict(up)
    assert (status, found["verdict"]) == (0, "proved")
    assert {one["verdict"] for one in found["properties"]} == {"proved"}
    told = {(one["qube"], one["name"]) for one in found["properties"]}
    assert {(TOR, "TorOnly"), ("sys-proxyvm", "KillSwitch"), (FIREWALL, "EndpointOnly")} <= told
    # Without root there is one uid for all, so that nobody can tell tor: then it is assumed.
    assert len(found["assumptions"]) == (3 if os.geteuid() == 0 else 4)
    assert 0 < found["seconds"] < 60


@pytest.mark.own_taps
def test_a_hole_is_a_counter_example(up: Netchain, nft: Any) -> None:
    nft(TOR, "insert", "rule", "inet", "netchain", "forward", "accept", "comment", '"a hole"')
    status, found = verdict(up)
    assert (status, found["verdict"]) == (11, "counter-example")
    hole = broken(found, TOR)["NoForward"]
    assert hole["witness"]["left"]["oif"] == "eth0"
    assert "forward: a hole (accept)" in hole["witness"]["rules"]
    assert broken(found, FIREWALL) == {}
    text = up("verify").stdout
    assert "NoForward on sys-whonix--sys-proxyvm: this packet gets through" in text
    assert text.splitlines()[-1].startswith("chain vpn-before-tor: counter-example")


def test_what_else_changed_is_told(up: Netchain, nft: Any) -> None:
    """A chain that ends without a drop of its own; a table that nobody can reason about."""
    nft(FIREWALL, "add", "rule", "inet", "netchain", "output", "counter")
    assert "ExplicitDrop" in broken(verdict(up)[1], FIREWALL)
    nft(FIREWALL, "add", "table", "bridge", "t")
    nft(FIREWALL, "add", "chain", "bridge", "t", "c",
        "{ type filter hook forward priority 0; }")  # fmt: skip
    status, found = verdict(up)
    of_it = [one for one in found["properties"] if one["qube"] == FIREWALL]
    assert (status, found["verdict"]) == (12, "not proved")
    assert all("bridge" in one["why"] for one in of_it)
    nft(FIREWALL, "delete", "table", "bridge", "t")


@pytest.mark.parametrize(
    ("add", "remove", "words"),
    [
        ("ip rule add fwmark 5 lookup 100", "ip rule del fwmark 5 lookup 100", "policy rule"),
        ("tc qdisc add dev eth0 clsact", "tc qdisc del dev eth0 clsact", "tc on eth0 (clsact)"),
        ("ip link add br0 type bridge", "ip link del br0", "not modelled: bridge"),
        ("ip xfrm policy add src 192.0.2.1 dst 192.0.2.2 dir out", "ip xfrm policy flush", "IPsec"),
    ],
)
def test_what_takes_packets_past_the_rules_is_no_proof(
    up: Netchain, add: str, remove: str, words: str
) -> None:
    node = f"vpn-before-tor:{FIREWALL}"
    up.in_network(node, *add.split())
    try:
        status, found = verdict(up)
    finally:
        up.in_network(node, *remove.split())
    reasons = {one["why"] for one in found["properties"] if one["qube"] == FIREWALL}
    assert (status, found["verdict"]) == (12, "not proved")
    assert len(reasons) == 1 and words in reasons.pop()


def test_a_chain_that_is_not_there_is_no_proof(up: Netchain) -> None:
    status, found = verdict(up, "vpn-only")
    assert (status, found["verdict"]) == (12, "not proved")
    assert {one["why"] for one in found["properties"]} == {"the qube is not there"}

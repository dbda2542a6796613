"""What nft lists is canonical: the same rules list the same, however they were written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from wires import Net, Rules, join

from netchain.model.chain import Chain
from netchain.nft.fill import Facts, rules_for
from netchain.resources import data_dir

_QUBES = ("sys-net", "sys-firewall", "sys-proxyvm", "sys-whonix", "anon-whonix")


def text_of(chain: Chain, name: str) -> str:
    return rules_for(chain, chain[name], Facts(tor_uid=102))


@pytest.mark.parametrize("name", _QUBES)
def test_a_listing_that_is_loaded_lists_equal(name: str, shipped: Callable[[str], Chain]) -> None:
    """backend.observe and plan.py compare digests of listings (backends/base.digest)."""
    rules = Rules()
    rules.load(text_of(shipped("vpn-before-tor"), name))
    listing = rules.listing()
    rules.load("flush ruleset\n" + listing)
    assert rules.listing() == listing != ""


def test_the_listing_of_the_blocking_table_lists_equal() -> None:
    """The same for what closes a qube: blocked.nft."""
    rules = Rules()
    rules.load((data_dir() / "firewall_rules" / "blocked.nft").read_text())
    listing = rules.listing()
    rules.load("flush ruleset\n" + listing)
    assert rules.listing() == listing != ""


@pytest.mark.parametrize("name", _QUBES)
def test_where_rules_are_loaded_makes_no_difference(
    name: str, shipped: Callable[[str], Chain]
) -> None:
    """nft_worker's `check` takes the wanted listing from a namespace with no links at all.

    In the qube itself there are links with those names and groups, and it is a second loading.
    """
    text = text_of(shipped("vpn-before-tor"), name)
    scratch, qube, far = Net(), Net(), Net()
    join(qube, "eth0", far, "vif0")
    join(qube, "vif14.0", far, "eth0")
    qube.ip("link set eth0 group 1", "link set vif14.0 group 2")
    listings = []
    for net in (scratch, qube):
        with net:
            rules = Rules()
        rules.load(text)
        listings.append(rules.listing())
    rules.load(text)
    assert listings[0] == listings[1] == rules.listing() != ""


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("set s { type ipv4_addr; }", ["10.137.0.10", "192.0.2.1", "10.137.0.9", "1.1.1.1"]),
        ("set s { type ipv6_addr; }", ["fd00::1", "2001:db8::1", "fd00::2", "::1"]),
        ("set s { type inet_service; flags interval; }", ["9000-9100", "22", "80-90"]),
        (
            "set s { type ifname . ipv4_addr; }",
            ["vif9.0 . 10.0.0.9", "eth0 . 10.0.0.9", "eth0 . 10.0.0.10"],
        ),
        ("map s { type ipv4_addr : ipv4_addr; }", ["10.0.0.2 : 10.0.0.1", "10.0.0.1 : 10.0.0.2"]),
    ],
    ids=["ipv4", "ipv6", "interval", "concatenation", "map"],
)
def test_the_order_of_elements_makes_no_difference(kind: str, elements: list[str]) -> None:
    """The kernel keeps them in hash tables with a seed of their own; nft lists them sorted."""
    listings = set()
    for order in (elements, elements[::-1], elements[1:] + elements[:1]):
        rules = Rules()
        rules.load(f"flush ruleset\ntable inet t {{\n {kind}\n}}\n")
        for element in order:
            rules.load(f"add element inet t s {{ {element} }}")
        listings.add(rules.listing())
    assert len(listings) == 1


def test_counters_are_no_part_of_a_stateless_listing() -> None:
    """nft_worker asks for stateless output: traffic must not look like a change of the rules."""
    rules = Rules()
    table = "table inet t {\n chain c {\n %s accept\n }\n}\n"
    rules.load(table % "counter packets 5 bytes 500")
    listing = rules.listing()
    rules.load("flush ruleset\n" + table % "counter")
    assert rules.listing() == listing
    rules.load("flush ruleset\n" + table % "")
    assert rules.listing() != listing

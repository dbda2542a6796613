"""What differs between two listings of nft, and how little of it is shown."""

from __future__ import annotations

from netchain.model.drift import Difference, shown
from netchain.nft.difference import differences

LISTING = """table inet netchain {
\tset endpoints4 {
\t\ttype ipv4_addr
\t\telements = { 192.0.2.1, 192.0.2.2,
\t\t\t     192.0.2.3 }
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tiifgroup 2 accept comment "down"
\t\tcounter drop
\t}
}
"""


def words(have: str) -> list[str]:
    return [str(difference) for difference in differences(LISTING, have)]


def test_equal_listings_have_no_difference() -> None:
    assert words(LISTING) == []


def test_a_rule_is_named_with_its_chain() -> None:
    assert words(LISTING.replace("\t\tiifgroup 2", "\t\taccept\n\t\tiifgroup 2")) == [
        "+ chain forward accept"
    ]
    assert words(LISTING.replace("\t\tcounter drop\n", "")) == ["- chain forward counter drop"]


def test_rules_in_another_order_differ() -> None:
    rule, drop = '\t\tiifgroup 2 accept comment "down"\n', "\t\tcounter drop\n"
    assert len(words(LISTING.replace(rule + drop, drop + rule))) == 2


def test_an_element_is_named_with_its_set() -> None:
    assert words(LISTING.replace("192.0.2.2,", "")) == ["- set endpoints4 192.0.2.2"]
    assert words(LISTING.replace("192.0.2.3 ", "192.0.2.3, 192.0.2.4 ")) == [
        "+ set endpoints4 192.0.2.4"
    ]


def test_a_chain_and_a_flag_of_the_table_are_named() -> None:
    assert words(LISTING.replace("\tset", "\tchain more {\n\t}\n\n\tset")) == [
        "+ chain more is there"
    ]
    assert words(LISTING.replace("{\n\tset", "{\n\tflags dormant\n\n\tset")) == [
        "+ table flags dormant"
    ]


def test_unequal_listings_never_have_no_difference() -> None:
    assert words(LISTING + "\n") == ["~ rules: others, should be those of the profile"]


def test_only_a_few_lines_are_shown() -> None:
    many = [Difference("route", have=str(n)) for n in range(6)]
    assert shown(many) == ["+ route 0", "+ route 1", "+ route 2", "+ route 3", "and 2 more"]
    assert shown(many[:4])[-1] == "+ route 3"

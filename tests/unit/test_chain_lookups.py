"""What a chain answers from its indices is what a search through its qubes would find."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chains import chain
from hypothesis import given
from random_chains import random_chains

from netchain.model.addressing import address4, qid
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName


@given(random_chains())
def test_lookups_are_searches(made: Chain) -> None:
    for number, qube in enumerate(made.qubes):
        assert made[qube.name] is made.get(qube.name) is qube
        assert made.number(qube.name) == number and qid(made, qube.name) == 10 + number
        assert made.clients(qube.name) == tuple(q for q in made.qubes if q.netvm == qube.name)
    for role in Role:
        assert made.with_role(role) == tuple(q for q in made.qubes if q.role is role)
    order = [qube.name for qube in made.from_uplink()]
    for qube in made.qubes:
        assert qube.netvm is None or order.index(qube.netvm) < order.index(qube.name)


def test_a_changed_chain_has_indices_of_its_own() -> None:
    made = chain("vpn-only")
    assert made.number("work") == 3  # now it has them
    fewer = replace(made, qubes=made.qubes[1:])
    assert fewer.number("work") == 2 and fewer != made
    assert made == replace(fewer, qubes=made.qubes) and hash(made) == hash(chain("vpn-only"))
    assert str(address4(fewer, "work")) == "10.137.0.12"


def test_of_two_with_one_name_the_first_is_found() -> None:
    made = chain("vpn-only")
    twice = replace(made, qubes=(*made.qubes, replace(made.qubes[0], role=Role.FIREWALL)))
    assert twice["sys-net"] is made.qubes[0]


def test_nobody_is_found_by_no_name() -> None:
    made = chain("vpn-only")
    assert made.get("nobody") is None and made.clients("nobody") == ()
    with pytest.raises(KeyError, match="nobody"):
        made[QubeName("nobody")]

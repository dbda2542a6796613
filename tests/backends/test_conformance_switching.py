"""A running qube gets another netvm, one suite for every backend.

Not covered: that no packet goes by a wrong way meanwhile (tests/lab/test_netvm.py).
"""

from __future__ import annotations

import pytest
from qubes_of import FIREWALL, VPN, WORK, create, observed

from netchain.backends.base import Backend
from netchain.errors import NetchainError
from netchain.model.addressing import address4
from netchain.model.allowed import Link
from netchain.model.chain import Chain


@pytest.fixture
def new(chain: Chain) -> Chain:
    """No chain that a profile may describe, and a switch like any other to a backend."""
    return chain.with_netvm(WORK, FIREWALL)


@pytest.fixture
def wired(backend: Backend, chain: Chain) -> Backend:
    create(backend, chain, FIREWALL, VPN, WORK)
    backend.attach(chain, VPN)
    backend.attach(chain, WORK)
    return backend


def test_a_prepared_link_is_a_difference_and_not_in_use(
    wired: Backend, chain: Chain, new: Chain
) -> None:
    wired.prepare(new, WORK)
    assert observed(wired, chain, WORK).link == VPN
    assert observed(wired, chain, WORK).wiring == ""
    wired.retire(chain, WORK)
    assert observed(wired, chain, WORK).wiring == wired.wiring(chain, WORK)


def test_detaching_takes_a_prepared_link_away_too(wired: Backend, chain: Chain, new: Chain) -> None:
    wired.prepare(new, WORK)
    wired.detach(chain, WORK)
    assert observed(wired, chain, WORK).link is None
    wired.attach(chain, WORK)
    assert observed(wired, chain, WORK).wiring == wired.wiring(chain, WORK)


def test_a_cut_turns_to_the_new_link_and_leaves_the_old_one_to_be_retired(
    wired: Backend, chain: Chain, new: Chain
) -> None:
    wired.prepare(new, WORK)
    start, end = wired.cut_over(chain, new, WORK)
    assert 0 < start <= end
    assert observed(wired, new, WORK).link == FIREWALL
    wired.retire(new, WORK)
    for name in (VPN, WORK):  # the links above have the new routes, too
        assert observed(wired, new, name).wiring == wired.wiring(new, name)


def test_to_and_fro(wired: Backend, chain: Chain, new: Chain) -> None:
    for old, after in ((chain, new), (new, chain), (chain, new)):
        wired.prepare(after, WORK)
        wired.cut_over(old, after, WORK)
        wired.retire(after, WORK)
        assert observed(wired, after, WORK).wiring == wired.wiring(after, WORK)
    wired.detach(new, WORK)
    assert observed(wired, new, WORK).link is None


def test_a_detached_qube_is_routed_around(wired: Backend, chain: Chain) -> None:
    away = chain.with_netvm(VPN, None)
    wired.detach(chain, VPN)
    wired.reroute(chain, away, VPN)
    assert observed(wired, away, VPN).link is None
    assert observed(wired, away, WORK).wiring == wired.wiring(away, WORK)


def test_nothing_is_cut_over_that_was_not_prepared(
    wired: Backend, chain: Chain, new: Chain
) -> None:
    with pytest.raises(NetchainError):
        wired.cut_over(chain, new, WORK)
    wired.retire(chain, WORK)
    assert observed(wired, chain, WORK).link == VPN


def test_flows_are_forgotten_where_there_are_none(wired: Backend, chain: Chain) -> None:
    wired.forget_flows(chain, VPN, [address4(chain, WORK)])
    wired.forget_flows(chain, VPN, [])
    assert wired.uplink(chain, Link(WORK, VPN))
    with pytest.raises(NetchainError):
        wired.forget_flows(chain, chain.qubes[0].name, [])  # it is not there

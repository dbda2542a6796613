"""Qubes come and go, one suite for every backend; what each test leaves out is in the others.

Not covered: a machine that dies (tests/lab/test_removed_qube.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from qubes_of import FIREWALL, NEW_FIREWALL, NEW_VPN, VPN, WORK, create, observed, rules

from netchain.backends.base import Backend, Service
from netchain.errors import NetchainError
from netchain.model.chain import Chain


def test_nothing_is_there_at_first(backend: Backend, chain: Chain) -> None:
    assert backend.observe(chain).qubes == {}


def test_a_new_qube_is_closed_and_has_nothing(backend: Backend, chain: Chain) -> None:
    backend.create(chain, FIREWALL)
    assert backend.observe(chain).qubes == {FIREWALL: NEW_FIREWALL}
    assert backend.list_rules(chain, FIREWALL) == ""


def test_a_qube_is_created_once(backend: Backend, chain: Chain) -> None:
    backend.create(chain, FIREWALL)
    with pytest.raises(NetchainError):
        backend.create(chain, FIREWALL)
    assert observed(backend, chain, FIREWALL) == NEW_FIREWALL


def test_chains_do_not_see_each_other(backend: Backend, chain: Chain) -> None:
    backend.create(chain, FIREWALL)
    other = replace(chain, name=type(chain.name)("other"))
    assert backend.observe(other).qubes == {}
    backend.create(other, FIREWALL)
    backend.remove(other, FIREWALL)
    assert list(backend.observe(chain).qubes) == [FIREWALL]


def test_remove_takes_all_with_it_and_leaves_the_rest(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN, WORK)
    backend.attach(chain, VPN)
    backend.attach(chain, WORK)
    backend.load_rules(chain, VPN, rules(backend, chain, VPN))
    backend.remove(chain, VPN)
    assert set(backend.observe(chain).qubes) == {FIREWALL, WORK}
    assert observed(backend, chain, FIREWALL).blocked
    backend.create(chain, VPN)
    assert observed(backend, chain, VPN) == NEW_VPN


def test_many_end_at_once_and_can_be_made_again(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN, WORK)
    backend.attach(chain, VPN)
    found = backend.living(chain).qubes
    assert {name: have.link for name, have in found.items()} == {
        FIREWALL: None, VPN: FIREWALL, WORK: None,
    }  # fmt: skip
    backend.end(chain, [VPN, VPN, FIREWALL])
    assert set(backend.observe(chain).qubes) == set(backend.living(chain).qubes) == {WORK}
    create(backend, chain, FIREWALL, VPN)
    assert observed(backend, chain, VPN) == NEW_VPN


def test_removing_what_is_not_there_is_fine(backend: Backend, chain: Chain) -> None:
    backend.remove(chain, WORK)
    backend.create(chain, WORK)
    for _ in range(2):
        backend.remove(chain, WORK)
    assert backend.observe(chain).qubes == {}


@pytest.mark.parametrize("act", ["block", "unblock", "detach", "attach", "list_rules"])
def test_a_qube_that_is_not_there_is_an_error(backend: Backend, chain: Chain, act: str) -> None:
    with pytest.raises(NetchainError):
        getattr(backend, act)(chain, WORK)
    with pytest.raises(NetchainError):
        backend.load_rules(chain, WORK, rules(backend, chain, WORK))
    with pytest.raises(NetchainError):
        backend.start_service(chain, WORK, Service("sleeper", ("sleep", "1000")))
    with pytest.raises(NetchainError):
        backend.execute(chain, WORK, ["cat"])

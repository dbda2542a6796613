"""Rules are checked, loaded, listed and blocked, one suite for every backend.

Not covered: that they filter (tests/lab).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from qubes_of import FIREWALL, VPN, WORK, create, observed, rules

from netchain.backends.base import Backend, digest
from netchain.errors import NetchainError
from netchain.model.chain import Chain
from netchain.nft.ruleset import parse


def test_loaded_rules_are_listed_as_the_check_said(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN, WORK)
    for name in (FIREWALL, VPN, WORK):
        text = rules(backend, chain, name)
        listing = backend.check_rules(text)
        backend.load_rules(chain, name, text)
        assert "table inet netchain" in listing
        assert backend.list_rules(chain, name) == listing
        assert observed(backend, chain, name).rules == digest(listing)
        assert observed(backend, chain, name).blocked


def test_loading_again_replaces(backend: Backend, chain: Chain) -> None:
    backend.create(chain, VPN)
    backend.load_rules(chain, VPN, rules(backend, chain, FIREWALL))
    backend.load_rules(chain, VPN, rules(backend, chain, VPN))
    assert backend.list_rules(chain, VPN) == backend.check_rules(rules(backend, chain, VPN))


def test_bad_rules_change_nothing(backend: Backend, chain: Chain) -> None:
    backend.create(chain, FIREWALL)
    backend.load_rules(chain, FIREWALL, rules(backend, chain, FIREWALL))
    before = observed(backend, chain, FIREWALL)
    for text in ("these are no rules", "table inet netchain { chain x {"):
        with pytest.raises(NetchainError):
            backend.check_rules(text)
        with pytest.raises(NetchainError):
            backend.load_rules(chain, FIREWALL, text)
    assert observed(backend, chain, FIREWALL) == before


def test_many_are_checked_as_one_is(backend: Backend, chain: Chain) -> None:
    texts = [rules(backend, chain, name) for name in (FIREWALL, VPN)]
    for _ in range(2):  # a backend may remember
        first, bad, second = backend.check_all([texts[0], "these are no rules", texts[1]])
        assert [first, second] == [digest(backend.check_rules(text)) for text in texts]
        assert isinstance(bad, NetchainError)


def test_unblock_and_block(backend: Backend, chain: Chain) -> None:
    backend.create(chain, FIREWALL)
    backend.load_rules(chain, FIREWALL, rules(backend, chain, FIREWALL))
    loaded = observed(backend, chain, FIREWALL)
    backend.unblock(chain, FIREWALL)
    assert observed(backend, chain, FIREWALL) == replace(loaded, blocked=False)
    with pytest.raises(NetchainError):
        backend.unblock(chain, FIREWALL)
    for _ in range(2):  # closing what is closed is fine: it is what every failure does
        backend.block(chain, FIREWALL)
        assert observed(backend, chain, FIREWALL) == loaded


def test_a_snapshot_is_of_a_living_qube(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL)
    backend.load_rules(chain, FIREWALL, rules(backend, chain, FIREWALL))
    parse(backend.snapshot(chain, FIREWALL).rules)
    with pytest.raises(NetchainError):
        backend.snapshot(chain, VPN)

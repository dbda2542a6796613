"""What the sentinel takes for opening, in which order it blocks, and what it says is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sites import PROXY, site_of

from netchain import apply, proofs, sentinel
from netchain.backends.base import Completed
from netchain.backends.fake import FakeBackend
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Chain, Role
from netchain.model.drift import Difference
from netchain.model.names import QubeName
from netchain.prove import Verdict
from netchain.site import Site
from netchain.wanted import desired

WORK, FIREWALL = QubeName("work"), QubeName("sys-firewall")


class Noting(FakeBackend):
    """Notes who is blocked, and refuses some."""

    def __init__(self) -> None:
        super().__init__({"wg": lambda *_: Completed(0, b"key\t9999999999\n", b"")})
        self.blocks: list[QubeName] = []
        self.refused: set[QubeName] = set()

    def block(self, chain: Chain, qube: QubeName) -> None:
        self.blocks.append(qube)
        if qube in self.refused:
            raise NetchainError(Problem("E052", "no"))
        super().block(chain, qube)


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-only")


@pytest.fixture
def backend() -> Noting:
    return Noting()


@pytest.fixture
def site(chain: Chain, backend: Noting, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(apply, "prove", lambda *_: Verdict((), ()))
    monkeypatch.setattr(proofs, "require", lambda _: None)
    with site_of(backend, chain, monkeypatch) as site:
        apply.up(chain, site)
        backend.blocks.clear()
        yield site


def opened(chain: Chain, site: Site) -> list[QubeName]:
    wanted, observed = desired(chain, site), site.backend.observe(chain)
    return sentinel.opened(chain, wanted, observed)


def test_a_chain_as_it_should_be_is_not_opened(chain: Chain, site: Site) -> None:
    assert opened(chain, site) == []


def test_other_rules_links_and_settings_open(chain: Chain, site: Site, backend: Noting) -> None:
    backend.load_rules(chain, PROXY, "table inet netchain { }")
    backend.alter(chain, FIREWALL, Difference("sysctl x", "1", "0"))
    backend.detach(chain, WORK)
    assert set(opened(chain, site)) == {PROXY, FIREWALL, WORK}
    observed = backend.observe(chain)
    words = sentinel.words(chain, site, desired(chain, site), observed)
    assert "sys-firewall: ~ sysctl x: 1, should be 0" in words
    assert {word.partition(":")[0] for word in words} == {PROXY, FIREWALL, WORK}


def test_a_program_of_another_configuration_opens(
    chain: Chain, backend: Noting, site: Site
) -> None:
    wanted = desired(chain, site)
    other = {PROXY: replace(wanted[PROXY], services={"wireguard": "other"})}
    assert sentinel.opened(chain, {**wanted, **other}, backend.observe(chain)) == [PROXY]


def test_an_open_qube_that_nobody_knows_opens(chain: Chain, site: Site, backend: Noting) -> None:
    other = QubeName("other")
    more = replace(chain, qubes=(*chain.qubes, replace(chain[WORK], name=other)))
    backend.create(more, other)
    assert opened(chain, site) == []
    backend.unblock(more, other)
    assert opened(chain, site) == [other]


def test_what_only_closes_does_not_open(chain: Chain, site: Site, backend: Noting) -> None:
    backend.load_rules(chain, WORK, "table inet netchain { }")
    backend.block(chain, WORK)
    backend.stop_service(chain, PROXY, "wireguard")
    assert opened(chain, site) == []
    backend.remove(chain, WORK)
    assert opened(chain, site) == []


def test_workstations_are_blocked_first_and_a_failure_keeps_none_open(
    chain: Chain, site: Site, backend: Noting
) -> None:
    backend.refused = {WORK}
    assert sentinel.close(chain, site.backend) == "NOT CLOSED: work. Run: netchain down vpn-only"
    assert backend.blocks[0] == WORK and chain[WORK].role is Role.WORKSTATION
    assert set(backend.blocks) == {qube.name for qube in chain.qubes}
    backend.refused = set()
    assert sentinel.close(chain, site.backend).startswith("The chain is blocked: work, ")


def test_a_chain_that_cannot_be_read_is_called_closed_only_when_its_site_is_gone(
    chain: Chain, site: Site, backend: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exit_code, start in ((Exit.FAILED, "NOT CLOSED"), (Exit.NOT_READY, "The site is gone")):
        error = NetchainError(Problem("E051", "gone"), exit_code)

        def fails(*_: object, error: NetchainError = error) -> None:
            raise error

        monkeypatch.setattr(backend, "observe", fails)
        assert sentinel.close(chain, site.backend).startswith(start)
    monkeypatch.undo()

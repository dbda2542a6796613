"""`netchain status` on the backend in memory: up, degraded, closed or down, and the exit code.

Closed is a promise: no workstation is open. Not covered: the words about each difference, and the
real programs (tests/lab/test_demo.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sites import PROXY, site_of

from netchain import apply, proofs
from netchain.backends.base import Completed
from netchain.backends.fake import FakeBackend
from netchain.commands import common, status_
from netchain.errors import Exit
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.prove import Verdict
from netchain.site import Site
from netchain.vpn.wireguard import SESSION_S

WORK, NET = QubeName("work"), QubeName("sys-net")


class Handshake:
    """What wg(8) says of the last one; its age in seconds."""

    def __init__(self) -> None:
        self.age = 0

    def __call__(self, *_: object) -> Completed:
        return Completed(0, f"key\t{int(time.time()) - self.age}\n".encode(), b"")


@pytest.fixture
def handshake() -> Handshake:
    return Handshake()


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-only")


@pytest.fixture
def site(
    chain: Chain, handshake: Handshake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Site]:
    """The chain, up, but for the proof; `status` finds it there."""
    monkeypatch.setenv("NETCHAIN_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(apply, "prove", lambda *_: Verdict((), ()))
    monkeypatch.setattr(proofs, "require", lambda _: None)
    with site_of(FakeBackend({"wg": handshake}), chain, monkeypatch) as site:
        apply.up(chain, site)

        @contextmanager
        def found(*_: object) -> Iterator[tuple[Chain, Site]]:
            yield chain, site

        monkeypatch.setattr(common, "site", found)
        yield site


def status() -> tuple[int, str, dict[str, str]]:
    """Exit code, verdict, and each qube's state."""
    done = CliRunner().invoke(status_.command, ["vpn-only", "--json"], standalone_mode=False)
    assert done.exception is None
    document = json.loads(done.stdout)
    states = {qube["name"]: qube["state"] for qube in document["qubes"]}
    return done.return_value, document["verdict"], states


def test_a_chain_that_is_up(chain: Chain, site: Site) -> None:
    expected = {qube.name: "ready" for qube in chain.qubes}
    assert status() == (Exit.DONE, "up", expected)
    for qube in chain.qubes:
        site.backend.remove(chain, qube.name)
    assert status() == (Exit.NOT_READY, "down", dict.fromkeys(expected, "missing"))


def test_closed_means_that_no_workstation_is_open(chain: Chain, site: Site) -> None:
    site.backend.block(chain, NET)
    code, verdict, states = status()
    assert (code, verdict) == (Exit.NOT_READY, "degraded")
    assert (states[NET], states[WORK]) == ("blocked", "ready")
    site.backend.block(chain, WORK)
    assert status()[:2] == (Exit.NOT_READY, "closed")
    site.backend.remove(chain, WORK)
    assert status()[:2] == (Exit.NOT_READY, "closed")


@pytest.mark.parametrize("role", [Role.WORKSTATION, Role.FIREWALL])
def test_an_open_qube_that_the_profile_does_not_know_is_not_closed(
    chain: Chain, site: Site, role: Role
) -> None:
    other = QubeName("other")
    qubes = (*chain.qubes, replace(chain[WORK], name=other, role=role))
    site.backend.create(replace(chain, qubes=qubes), other)
    site.backend.block(chain, WORK)
    assert status()[1] == "closed"
    site.backend.unblock(chain, other)
    assert status()[1] == "degraded"


@pytest.mark.usefixtures("site")
def test_a_vpn_without_a_living_session_degrades_the_chain(handshake: Handshake) -> None:
    handshake.age = SESSION_S + 60
    code, verdict, states = status()
    assert (code, verdict, states[PROXY]) == (Exit.NOT_READY, "degraded", "degraded")


def test_other_rules_degrade_a_qube(chain: Chain, site: Site) -> None:
    site.backend.load_rules(chain, WORK, "table inet netchain { }")
    assert status()[1] == "degraded" and status()[2][WORK] == "degraded"

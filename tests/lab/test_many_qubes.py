"""A hundred qubes: observed as what was made, whoever changes rules behind our back; ended at once.

Without programs (bare_site.py). 500 are what `scripts/bench scale` makes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bare_site import bare_site, node
from commands import Netchain, until
from machine import alive

from netchain.backends.base import digest
from netchain.backends.netns import nft_worker, rpc
from netchain.backends.netns.backend import NetnsBackend
from netchain.errors import NetchainError
from netchain.lab.internet import ROUTER
from netchain.model.chain import Chain, Qube, Role
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName
from netchain.model.plan import plan_down
from netchain.nft.fill import Facts, rules_for

pytestmark = pytest.mark.lab
COUNT, WAIT_S = 100, 30.0
LAST = QubeName(f"q{COUNT - 1}")


def firewalls(count: int, name: str = "many") -> Chain:
    """The first holds the uplink, the others are below it."""
    qubes = [Qube(QubeName("q0"), Role.NET, Label.RED)]
    qubes += [
        Qube(QubeName(f"q{n}"), Role.FIREWALL, Label.RED, QubeName("q0")) for n in range(1, count)
    ]
    return Chain(ChainName(name), tuple(qubes))


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


Built = tuple[NetnsBackend, Chain, dict[QubeName, str], Path]


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, resolve: Callable[[Chain], Chain]
) -> Iterator[Built]:
    chain, state = resolve(firewalls(COUNT)), tmp_path_factory.mktemp("s")
    with pytest.MonkeyPatch.context() as patch, bare_site(state, patch) as keeper:
        node(keeper, ROUTER)
        backend = NetnsBackend(keeper, ROUTER)
        texts = {q.name: rules_for(chain, q, Facts(tor_uid=0)) for q in chain.qubes}
        for qube in chain.from_uplink():
            backend.create(chain, qube.name)
            backend.load_rules(chain, qube.name, texts[qube.name])
            backend.attach(chain, qube.name)
            backend.unblock(chain, qube.name)
        yield backend, chain, texts, state


def test_all_are_observed_as_they_were_made(built: Built) -> None:
    backend, chain, texts, _ = built
    checked = backend.check_all([*texts.values()])
    assert backend.check_all([*texts.values()]) == checked  # from memory, this time
    assert checked[7] == digest(backend.check_rules(texts[QubeName("q7")]))
    found = backend.observe(chain).qubes
    assert [found[name].rules for name in texts] == checked
    assert all(found[q.name].wiring == backend.wiring(chain, q.name) for q in chain.qubes)
    assert not any(have.blocked for have in found.values())
    assert set(backend.living(chain).qubes) == set(found)


def test_rules_that_somebody_else_changes_are_seen(built: Built) -> None:
    """Also when they were looked at just before, and when only an element differs."""
    backend, chain, _, state = built
    name = f"many:{LAST}"
    before = backend.observe(chain).qubes
    for words in ("add table inet other", "delete table inet other"):
        Netchain(state).in_network(name, "nft", words)
        after = backend.observe(chain).qubes
        told = [f"{one.what} {one.have}" for one in after[LAST].differs]
        assert told == (["table inet other"] if words.startswith("add") else [])
        assert {n: q for n, q in after.items() if n != LAST} == {
            n: q for n, q in before.items() if n != LAST
        }
    element = "element inet netchain self4 { 192.0.2.7 }"
    Netchain(state).in_network(name, "nft", f"add {element}")
    assert backend.observe(chain).qubes[LAST].rules != before[LAST].rules
    Netchain(state).in_network(name, "nft", f"delete {element}")
    assert backend.observe(chain).qubes == before


def test_the_rule_loader_stays_below_what_libnftables_can_take(
    built: Built,
) -> None:
    """It aborts where a descriptor is 1024 or more. What it read (0.8 MB a qube) is not kept."""
    backend, chain, _, state = built
    pid = Netchain(state).rule_loader()
    assert descriptors(pid) < COUNT + 20 and nft_worker.MAX_CONTEXTS + rpc.MAX_FDS + 20 < 1024
    backend.observe(chain)
    assert resident_mb(pid) < 50


def test_all_end_at_once_and_can_be_made_again(built: Built) -> None:
    backend, chain, texts, state = built
    holders = {Netchain(state).holder(f"many:{name}") for name in ("q0", "q98", LAST)}
    start = time.monotonic()
    names = list(dict.fromkeys(step.qube for step in plan_down(backend.living(chain))))
    backend.end(chain, names)
    took = time.monotonic() - start
    assert backend.living(chain).qubes == {} and backend.observe(chain).qubes == {}
    assert took < 5, took  # a wait for the end of each took longer; the bench has the figure
    backend.create(chain, LAST)  # while the others are still ending
    assert backend.observe(chain).qubes[LAST].blocked
    assert until(lambda: not alive(holders), WAIT_S)
    backend.load_rules(chain, LAST, texts[LAST])
    pid = Netchain(state).keeper()
    assert until(lambda: bool(backend.uids()) and descriptors(pid) < COUNT // 2, WAIT_S)


def test_more_qubes_than_there_are_descriptors_is_an_error_in_words(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays and can be taken down; nobody aborts."""
    chain, state = firewalls(60, "few"), tmp_path_factory.mktemp("s")
    with bare_site(state, monkeypatch) as keeper:
        backend, pid = NetnsBackend(keeper, ROUTER), Netchain(state).keeper()
        backend.create(chain, QubeName("q0"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (60, 60))
        with pytest.raises(NetchainError, match="Too many open files"):
            for qube in chain.qubes[1:]:
                backend.create(chain, qube.name)
        there = list(backend.living(chain).qubes)
        assert 5 < len(there) < 60 and Netchain(state).keeper() == pid
        backend.end(chain, there)
        assert until(lambda: bool(backend.uids()) and descriptors(pid) < 30, 20)
        backend.create(chain, QubeName("q59"))
        assert backend.observe(chain).qubes[QubeName("q59")].blocked

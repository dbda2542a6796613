"""What every backend must do, one suite for all of them.

A chain of a firewall, a VPN and a workstation without its uplink, so that no router is needed. Not
covered here: that rules filter (tests/lab), the uplink's wire, real VPN and Tor programs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path, PurePosixPath

import pytest

from netchain.backends.base import Backend, Completed, Service, Tunnel, digest
from netchain.backends.fake import FakeBackend
from netchain.errors import NetchainError
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.observed import ObservedQube
from netchain.nft.fill import Facts, rules_for

ROOT = Path(__file__).resolve().parents[2]
SITE = "conformance"
FIREWALL, VPN, WORK = QubeName("sys-firewall"), QubeName("sys-proxyvm"), QubeName("work")
NEW_FIREWALL = ObservedQube(blocked=True, role=Role.FIREWALL)
NEW_VPN = ObservedQube(blocked=True, role=Role.VPN_PROXY)
TUNNEL = Tunnel("wg0", (IPv4Address("10.64.0.2"), IPv6Address("fd00:64::2")))
WAIT_S = 10.0


def cat(_: Sequence[str], stdin: bytes) -> Completed:
    return Completed(0, stdin, b"")


@pytest.fixture
def fake(chain: Chain) -> Iterator[Backend]:
    backend = FakeBackend({"cat": cat})
    yield backend
    for name in backend.observe(chain).qubes:
        backend.remove(chain, name)  # closes its wires


@pytest.fixture
def netns(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """A site in a state directory of its own (a short path: it holds a Unix socket)."""
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(tmp_path_factory.mktemp("s")))
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))  # for the keeper's own programs
    from netchain.backends.netns import starter
    from netchain.backends.netns.backend import NetnsBackend
    from netchain.backends.netns.client import KeeperClient

    try:
        keeper = KeeperClient.start(SITE)
        yield NetnsBackend(keeper, router="lab:isp")
        keeper.close()
    finally:
        starter.kill(SITE)


@pytest.fixture(params=["fake", pytest.param("netns", marks=pytest.mark.lab)])
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-only")


def observed(backend: Backend, chain: Chain, name: QubeName) -> ObservedQube:
    return backend.observe(chain).qubes[name]


def rules(backend: Backend, chain: Chain, name: QubeName) -> str:
    return rules_for(chain, chain[name], Facts(tor_uid=backend.uids().tor))


def create(backend: Backend, chain: Chain, *names: QubeName) -> None:
    for name in names:
        backend.create(chain, name)


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


def test_attach_and_detach(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    wiring = backend.wiring(chain, VPN)
    assert wiring
    assert observed(backend, chain, VPN) == replace(NEW_VPN, link=FIREWALL, wiring=wiring)
    assert observed(backend, chain, FIREWALL).link is None
    backend.detach(chain, VPN)
    assert observed(backend, chain, VPN).link is None
    backend.attach(chain, VPN)
    assert observed(backend, chain, VPN).link == FIREWALL


def test_attach_needs_both_ends_and_detach_a_link(backend: Backend, chain: Chain) -> None:
    with pytest.raises(NetchainError):
        backend.attach(chain, VPN)
    backend.create(chain, VPN)
    with pytest.raises(NetchainError):
        backend.attach(chain, VPN)
    with pytest.raises(NetchainError):
        backend.detach(chain, VPN)
    assert observed(backend, chain, VPN).link is None


def carries(backend: Backend, chain: Chain, link: Link) -> bool:
    """Whether the tap hears a frame that the client sends."""
    frame = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + b"conformance".ljust(46, b"\0")
    end = backend.injector(chain, link, Direction.UP)
    with backend.taps(chain, [link])[link.name] as tap, end:
        tap.settimeout(WAIT_S)
        end.send(frame)
        while tap.recv(2048) != frame:  # whatever else a kernel may say there
            pass
    return True


def test_a_wire_carries_frames_from_the_client_to_the_tap(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    assert carries(backend, chain, Link(VPN, FIREWALL))
    backend.detach(chain, VPN)
    with pytest.raises(NetchainError):
        backend.injector(chain, Link(VPN, FIREWALL), Direction.UP)


def test_a_link_of_a_chain_in_another_order_has_another_wiring(
    backend: Backend, chain: Chain
) -> None:
    """The order gives each qube its address."""
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    first, *rest = chain.qubes
    moved = replace(chain, qubes=(*rest, first))
    assert backend.wiring(moved, VPN) != backend.wiring(chain, VPN)
    assert observed(backend, chain, VPN).wiring == backend.wiring(chain, VPN)


def start_sleeper(backend: Backend, chain: Chain) -> None:
    backend.start_service(chain, VPN, Service("sleeper", ("sleep", "1000"), version="v1"))
    deadline = time.monotonic() + WAIT_S
    while observed(backend, chain, VPN).services != {"sleeper": "v1"}:
        assert time.monotonic() < deadline


def test_a_started_service_is_observed_with_its_version(backend: Backend, chain: Chain) -> None:
    backend.create(chain, VPN)
    start_sleeper(backend, chain)
    backend.remove(chain, VPN)
    backend.create(chain, VPN)
    assert observed(backend, chain, VPN).services == {}


def test_a_stopped_service_is_gone(backend: Backend, chain: Chain) -> None:
    backend.create(chain, VPN)
    start_sleeper(backend, chain)
    for _ in range(2):
        backend.stop_service(chain, VPN, "sleeper")
        assert observed(backend, chain, VPN).services == {}


def test_a_tunnel_may_be_asked_for_twice_and_taken_away(backend: Backend, chain: Chain) -> None:
    if not isinstance(backend, FakeBackend) and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is not open to us")
    backend.create(chain, VPN)
    first = backend.add_tunnel(chain, VPN, TUNNEL)
    assert backend.add_tunnel(chain, VPN, TUNNEL) is first
    for _ in range(2):
        backend.remove_tunnel(chain, VPN, "wg0")
    assert backend.add_tunnel(chain, VPN, TUNNEL) is first


def test_programs_run_in_a_qube(backend: Backend, chain: Chain) -> None:
    backend.create(chain, WORK)
    assert backend.execute(chain, WORK, ["cat"], stdin=b"a\0b") == Completed(0, b"a\0b", b"")
    assert backend.execute(chain, WORK, ["no-such-program-of-ours"]).status != 0
    with pytest.raises(NetchainError):
        backend.connect(chain, WORK, PurePosixPath("/run/no-such-socket"))
    assert backend.volume().is_absolute()


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


def test_the_clients_of_a_removed_netvm_are_wired_anew(backend: Backend, chain: Chain) -> None:
    """At once, though a kernel may take its time to let the old wire go."""
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    backend.remove(chain, FIREWALL)
    backend.create(chain, FIREWALL)
    backend.attach(chain, VPN)
    assert observed(backend, chain, VPN).link == FIREWALL
    assert carries(backend, chain, Link(VPN, FIREWALL))


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

"""Services, tunnels and programs in a qube, one suite for every backend.

Not covered: real VPN and Tor programs (tests/lab).
"""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePosixPath

import pytest
from qubes_of import VPN, WAIT_S, WORK, observed

from netchain.backends.base import Backend, Completed, Service, Tunnel
from netchain.backends.fake import FakeBackend
from netchain.errors import NetchainError
from netchain.model.chain import Chain

TUNNEL = Tunnel("wg0", (IPv4Address("10.64.0.2"), IPv6Address("fd00:64::2")))


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

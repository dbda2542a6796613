"""Every backend, for one conformance suite that holds all of them to the same.

The chain is a firewall, a VPN and a workstation without its uplink, so that no router is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from netchain.backends.base import Backend, Completed
from netchain.backends.fake import FakeBackend
from netchain.model.chain import Chain

ROOT = Path(__file__).resolve().parents[2]
SITE = "conformance"


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

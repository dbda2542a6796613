"""One lab for all tests that run the program: only its first start waits for a Tor consensus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Netchain


@pytest.fixture(scope="session")
def netchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netchain]:
    """The program with a state directory of its own; the lab is taken down at the end."""
    run = Netchain(tmp_path_factory.mktemp("state"))
    try:
        yield run
    finally:
        run("lab", "down")


@pytest.fixture(scope="module")
def up(netchain: Netchain) -> Iterator[Netchain]:
    """The main chain, up; down again after the module."""
    assert netchain("lab", "up").returncode == 0
    done = netchain("up")
    assert done.returncode == 0, done.stderr
    yield netchain
    netchain("down")

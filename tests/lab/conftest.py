"""One lab for all tests that run the program: only its first start waits for a Tor consensus.
And what tests share that need no program: the main chain alone, without the lab's hosts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ambient import Ambient
from bare_site import bare_chain
from commands import CHAIN, ROOT, Netchain

from netchain.backends.netns.backend import NetnsBackend
from netchain.model.chain import Chain, QubeState
from netchain.wire.timeline import Timeline


@pytest.fixture(scope="session")
def netchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netchain]:
    """The program with a state directory of its own; the lab is taken down at the end."""
    run = Netchain(tmp_path_factory.mktemp("state"))
    try:
        yield run
    finally:
        run("lab", "down")


@pytest.fixture(scope="session")
def tor_network(netchain: Netchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's private Tor network with its consensus: copied as lab/tor of another state
    directory, it makes the first start there as quick as a second one."""
    assert netchain("lab", "up").returncode == 0
    copy = tmp_path_factory.mktemp("kept") / "tor"
    passing = shutil.ignore_patterns("*.tmp", "lock")  # tor runs meanwhile
    shutil.copytree(netchain.state / "lab" / "tor", copy, ignore=passing)
    return copy


@pytest.fixture(autouse=True)
def ambient(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves on any link of its chains is judged, but for one with taps of its own."""
    is_heard = "netchain" in request.fixturenames
    if not is_heard or request.node.get_closest_marker("own_taps"):
        yield
        return
    run: Netchain = request.getfixturevalue("netchain")
    run.ambient = Ambient(str(run.state))
    for target in run.targets:
        run.ambient.follow(target)
    yield
    heard, run.ambient = run.ambient, None
    assert heard.leaks() == []


@pytest.fixture(scope="module")
def up(netchain: Netchain) -> Iterator[Netchain]:
    """The main chain, up; down again after the module."""
    assert netchain("lab", "up").returncode == 0
    done = netchain("up")
    assert done.returncode == 0, done.stderr
    yield netchain
    netchain("down")


@contextmanager
def smallest_chain(netchain: Netchain, directory: Path) -> Iterator[Path]:
    """The smallest chain with a VPN, from a file that a test may change; up."""
    shipped = (ROOT / "profiles" / "vpn-only.toml").read_text()
    path = directory / "mend.toml"
    path.write_text(shipped.replace('"vpn-only"', '"mend"'))
    assert netchain("lab", "up").returncode == 0
    assert netchain("up", str(path)).returncode == 0
    yield path
    assert netchain("down", str(path)).returncode == 0


@pytest.fixture
def profile(netchain: Netchain, tmp_path: Path) -> Iterator[Path]:
    """Of a chain that each test has for itself."""
    with smallest_chain(netchain, tmp_path) as path:
        yield path


@pytest.fixture(scope="module")
def kept(netchain: Netchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a chain for a module, each test of which leaves it as the file says."""
    with smallest_chain(netchain, tmp_path_factory.mktemp("kept")) as path:
        yield path


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    """The main chain; a module may have another."""
    return shipped(CHAIN)


@pytest.fixture
def backend(
    chain: Chain, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NetnsBackend]:
    """With rules and links, without programs (bare_site.py)."""
    with bare_chain(chain, tmp_path_factory.mktemp("s"), monkeypatch) as backend:
        yield backend


@pytest.fixture
def timeline(chain: Chain) -> Timeline:
    """On which every qube is ready from now on."""
    timeline = Timeline()
    now = time.time_ns()
    timeline.change(now, now, {qube.name: QubeState.READY for qube in chain.qubes})
    return timeline

"""Starting, finding and ending a keeper, where something is odd."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netchain.backends.netns import starter
from netchain.backends.netns.client import KeeperClient
from netchain.errors import NetchainError

pytestmark = pytest.mark.lab
SITE = "odd"


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("s")
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(path))
    return path


def test_a_path_that_is_too_long_for_a_socket(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(state / ("x" * 100)))
    with pytest.raises(NetchainError) as caught:
        KeeperClient.start(SITE)
    (problem,) = caught.value.problems
    assert problem.code == "E002" and "path too long" in problem.title
    assert problem.where.endswith("/keeper.sock") and "NETCHAIN_STATE_DIR" in problem.help


def test_a_keeper_that_ends_at_once_is_told_and_leaves_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NetchainError, match="the keeper did not start"):
        KeeperClient.start(SITE)
    assert not [path for path in state.rglob("*") if path.is_socket()]
    assert not list(starter.find(SITE))


def test_who_looks_for_keepers_is_not_taken_for_one() -> None:
    wait = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", wait, starter.MARKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as seeker:
        assert seeker.stdout and seeker.stdout.readline()
        assert not list(starter.find(SITE))
        assert not starter.kill(SITE)
        assert seeker.poll() is None
        seeker.communicate(b"")

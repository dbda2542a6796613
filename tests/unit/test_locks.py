"""One command at a time: a chain's lock, the lab's, and the claims on the router's ports."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from netchain import locks
from netchain.commands import common, demo_, lab_
from netchain.errors import NetchainError
from netchain.lab.lab import Lab
from netchain.model.chain import Chain

HOLD = "from netchain import locks; print(locks.take(':x') is None, flush=True); input()"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(tmp_path / "s"))


def test_who_holds_a_chain_is_told(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-only")
    with common.lock(chain):
        with pytest.raises(NetchainError) as caught, common.lock(chain, wait=0.2):
            pass
        with common.lock(shipped("tor-only")), common.lab_lock():
            pass
    (problem,) = caught.value.problems
    assert problem.code == "E056" and "--wait" in problem.help
    assert problem.title == f"chain vpn-only is being changed by process {os.getpid()}"
    with common.lock(chain):
        pass


def test_a_lock_that_is_waited_for_is_got(shipped: Callable[[str], Chain]) -> None:
    chain, entered = shipped("vpn-only"), threading.Event()

    def other() -> None:
        with common.lock(chain, wait=20):
            entered.set()

    thread = threading.Thread(target=other)
    with common.lock(chain):
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    thread.join()


def test_a_lock_ends_with_its_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "False\n"
        assert locks.take(":x") is None
        process.kill()
        process.wait()
    fd = locks.take(":x")
    assert fd is not None
    os.close(fd)


@pytest.mark.parametrize(("command", "words"), [(lab_.command, ["up"]), (demo_.command, [])])
def test_the_lab_is_started_by_one_command_at_a_time(
    monkeypatch: pytest.MonkeyPatch, command: click.Command, words: list[str]
) -> None:
    """Two would fight over its hosts, and a demo would take down what another one uses."""

    def start(*_: object) -> None:
        raise AssertionError("it was started")

    monkeypatch.setattr(Lab, "start", start)
    with common.lab_lock():
        done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, NetchainError)
    assert done.exception.problems[0].title.startswith("the lab is being changed by process")
    assert isinstance(CliRunner().invoke(command, words).exception, AssertionError)

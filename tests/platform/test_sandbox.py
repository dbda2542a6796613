"""The tests of this directory are where they think they are, and their failures are not lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sandbox
from wires import Net

_FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_a_test_is_alone() -> None:
    """PID 1 as uid 0 of namespaces of its own, in which there is nothing yet."""
    assert (os.getpid(), os.geteuid()) == (1, 0)
    with Net():
        of_a_new_one = socket.if_nameindex()
    assert socket.if_nameindex() == of_a_new_one
    assert list(Path("/run").iterdir()) == []


def test_a_failure_is_reported_with_its_words() -> None:
    def failing() -> None:
        assert {"some": "thing"} == {"an": "other"}

    with pytest.raises(pytest.fail.Exception, match="'some': 'thing'"):
        sandbox.run(failing)


def test_a_skip_is_a_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="not here"):
        sandbox.run(lambda: pytest.skip("not here"))


def test_a_test_that_vanishes_has_failed() -> None:
    with pytest.raises(pytest.fail.Exception, match="without a word"):
        sandbox.run(lambda: os._exit(0))


def test_what_a_test_leaves_behind_ends_with_it() -> None:
    """Its programs are killed with its PID 1: the pipe that this one holds comes to its end."""
    told, tell = os.pipe()
    left: list[subprocess.Popen[bytes]] = []
    sandbox.run(lambda: left.append(subprocess.Popen(_FOREVER, pass_fds=[tell])))
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        assert pipe.read() == b""

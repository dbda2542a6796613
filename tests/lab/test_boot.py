"""What a systemd unit runs (netchain.boot), in a stand-in computer; the test plays systemd's part.

Not covered: a real systemd (its units are verified by systemd-analyze, tests/unit/test_unit.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, until
from stand_in import StandIn, pids
from test_real_uplinks import computer, page, profile, pytestmark, state_of
from test_uplink_ends import helpers, keeper

__all__ = ["computer", "pytestmark"]
READY_S = 60.0


class Unit:
    """The main process, and the socket on which it speaks to who started it."""

    def __init__(self, computer: StandIn, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listening.bind(str(computer.state / "notify"))
        self._listening.settimeout(READY_S)
        environment = {
            **os.environ, "NETCHAIN_STATE_DIR": str(computer.state / "s"),
            "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(computer.state / "notify"),
        }  # fmt: skip
        enter = ["nsenter", f"--target={computer.host}", "--user", "--net", "--mount"]
        self.process = subprocess.Popen(
            [*enter, "--preserve-credentials", sys.executable, "-m", "netchain.boot", str(path)],
            env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def said(self) -> str:
        return self._listening.recv(1000).decode()

    def close(self) -> None:
        self._listening.close()
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def started(computer: StandIn, path: Path) -> Iterator[Unit]:
    unit = Unit(computer, path)
    try:
        yield unit
    finally:
        unit.close()


def nothing_is_left(computer: StandIn) -> bool:
    return not pids(f"@{computer.state}/s/run") and not helpers(computer)


@pytest.mark.parametrize("uplink", ["pasta", "host"])
def test_ready_when_proved_and_down_when_told(computer: StandIn, uplink: str) -> None:
    """An uplink that ends meanwhile is opened again."""
    path, before = profile(computer, uplink), state_of(computer)
    with started(computer, path) as unit:
        assert unit.said().startswith("READY=1")
        assert "seen_from" in page(computer, path)
        found = helpers(computer)
        assert len(found) == (uplink == "pasta")
        for pasta in found:
            os.kill(pasta, signal.SIGKILL)
            assert "opened again" in unit.said()
            assert unit.said().startswith("READY=1")
            assert "seen_from" in page(computer, path)
        unit.process.send_signal(signal.SIGTERM)
        assert unit.said() == "STOPPING=1"
        assert unit.process.wait(30) == 0
        assert until(lambda: nothing_is_left(computer), 20)
        assert state_of(computer) == before


def test_it_fails_closed_with_the_keeper(computer: StandIn) -> None:
    path = profile(computer, "pasta")
    with started(computer, path) as unit:
        assert unit.said().startswith("READY=1")
        os.kill(keeper(computer), signal.SIGKILL)
        assert unit.process.wait(30) == 1
        assert until(lambda: nothing_is_left(computer), 20)


def test_a_chain_that_cannot_come_up_ends_down_and_is_never_ready(computer: StandIn) -> None:
    """A NIC that is not there: exit 5, after which systemd does not try again."""
    path = profile(computer, "nic:eth0")
    path.write_text(path.read_text().replace("nic:eth0", "nic:eth9"))
    with started(computer, path) as unit:
        assert unit.process.wait(30) == 5
        assert nothing_is_left(computer)

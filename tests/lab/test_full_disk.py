"""A disk that is full, or fills up while the lab starts: one clear error, nothing is left running,
and when there is room again the lab starts.

The state directory is a tmpfs in a mount namespace of the test's own, hence root only. Not covered:
a disk that fills up while a chain runs (programs then fail one by one, each inside its own rules).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs"),
]
ROOT = Path(__file__).resolve().parents[2]
CLOSED = "A chain that was being changed stays closed."


class Disk:
    """A mount namespace of our own with a small disk at `state`."""

    def __init__(self, state: Path, options: str) -> None:
        self.state = state
        self._shell = subprocess.Popen(
            ["unshare", "--mount", "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.sh(f"mount -t tmpfs -o mode=0700,{options} tmpfs {state}")

    def sh(self, command: str) -> str:
        """Run a line of shell in the namespace; what it printed."""
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.write(f"{command}\necho :$?\n")
        self._shell.stdin.flush()
        said = ""
        while not (line := self._shell.stdout.readline()).startswith(":"):
            assert line, "the shell ended"
            said += line
        return f"{said}{line[1:].strip()}"

    def netchain(self, words: str, path: str = "") -> tuple[int, str]:
        """Exit code of a command, and all it said."""
        said = self.sh(
            f"cd / && PATH={path or os.environ['PATH']} NETCHAIN_STATE_DIR={self.state} "
            f"PYTHONPATH={ROOT} {sys.executable} -m netchain {words} 2>&1 </dev/null"
        )
        words, _, status = said.rpartition("\n") if "\n" in said else ("", "", said)
        return int(status), words

    def keepers(self) -> list[str]:
        marker = f"netchain-keeper lab@{self.state}/run"
        done = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True)
        return done.stdout.split()

    def close(self) -> None:
        self.netchain("lab down")
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.close()
        self._shell.wait(timeout=30)
        self._shell.stdout.close()


@pytest.fixture
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    made = Disk(tmp_path_factory.mktemp("s"), request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        ("size=64k", "the lab needs 16"),
        ("size=64m,nr_inodes=1", ""),
        ("size=64m,nr_inodes=40", "files"),
    ],
    indirect=["disk"],
)
@pytest.mark.parametrize("words", ["lab up", "demo"])
def test_a_full_disk_is_told_and_nothing_is_started(disk: Disk, said: str, words: str) -> None:
    status, text = disk.netchain(words)
    assert status == 1, text
    assert "error[E002]" in text and said in text and str(disk.state) in text
    assert "Traceback" not in text
    assert not disk.keepers()


@pytest.mark.parametrize("disk", ["size=64m"], indirect=True)
@pytest.mark.parametrize("program", ["wg", "tor-gencert"])
def test_a_disk_that_fills_up_midway(
    disk: Disk, program: str, tmp_path: Path, tor_network: Path
) -> None:
    """The first call of a program fills it: keys of the providers, keys of the Tor network."""
    if program == "wg":  # which does not make the Tor network's keys; the start later is quicker
        disk.sh(f"mkdir -m 0700 {disk.state}/lab && cp -a {tor_network} {disk.state}/lab/tor")
    filler, real = disk.state / "filler", shutil.which(program)
    script = tmp_path / program
    script.write_text(f'#!/bin/sh\ncat /dev/zero >{filler} 2>/dev/null\nexec {real} "$@"\n')
    script.chmod(0o755)
    status, text = disk.netchain("lab up", f"{tmp_path}:{os.environ['PATH']}")
    assert status == 1, text
    assert "error[E002]" in text and text.endswith(CLOSED)
    assert "Traceback" not in text
    assert not disk.keepers()
    if program == "wg":
        disk.sh(f"rm {filler}")
        status, text = disk.netchain("lab up")
        assert status == 0, text

"""What strikes netchain beside SIGKILL to itself: its rule loader, its steps, another netchain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from commands import Netchain, until
from crash_proxy import Message
from crash_scene import Scene
from crash_watch import BEFORE, Run
from machine import descendants

from netchain.backends.netns import rpc

_STUCK_S = 20.0
LOADS = ("create", "load", "block", "unblock")
"""Steps that load rules, by their names."""


def is_load(effect: str) -> bool:
    """Whether the effect (as `Run.effects` has it) loads rules."""
    return effect[2:].split(":")[0].split()[0] in LOADS and (
        "nft" in effect or "# create" in effect
    )


def is_busy(keeper: Path) -> bool:
    """Whether the keeper answers nobody."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.1)
        sock.connect(str(keeper))
        rpc.send(sock, {"do": "hello"})
        try:
            rpc.receive(sock)
        except TimeoutError:
            return True
    return False


class MidLoad:
    """The rule loader dies over a load. Struck before the request: it is stopped first, and killed
    when the keeper waits for it. Struck when it is asked: killed at once, wherever it is."""

    def __init__(self, scene: Scene) -> None:
        self._netchain = scene.netchain
        self._socket = scene.site.backend.keeper.directory / "keeper.real"
        self.failed = ""

    def __call__(self, run: Run, message: Message) -> Message:
        loader = self._netchain.rule_loader()
        if not loader:
            self.failed = "there is no rule loader"
        elif run.at is not None and run.at.when == BEFORE:
            os.kill(loader, signal.SIGSTOP)
            Thread(target=self._kill_when_busy, args=(loader,), daemon=True).start()
        else:
            os.kill(loader, signal.SIGKILL)
        return message

    def _kill_when_busy(self, loader: int) -> None:
        if not until(lambda: is_busy(self._socket), _STUCK_S):
            self.failed = "the keeper did not wait for its rule loader"
        os.kill(loader, signal.SIGKILL)


def refuse(_: Run, message: Message) -> Message:
    """nft gets rules that it cannot take, after those that it should load."""
    where = "rules" if message["do"] == "create" else "text"
    return {**message, where: f"{message[where]}add rule inet nowhere nothing drop\n"}


class Suspend:
    """Every process of the site and the command stand still while the flood goes on, and go on."""

    def __init__(self, scene: Scene, rounds: int) -> None:
        self._scene, self._rounds = scene, rounds
        self.heard, self.doubts = 0, ["it did not stop"]

    def __call__(self, run: Run, message: Message) -> Message:
        assert run.process is not None
        pids = [run.process.pid, *sorted(descendants(self._scene.netchain.keeper()))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.heard, self.doubts = self._scene.heard_after()
            if not self._scene.flood.wait(self._rounds * self._scene.flood.round, 60):
                self.doubts.append("the flood did not go on")
        finally:
            assert until(lambda: all(_continued(pid) for pid in pids), 20)
        return message


def _continued(pid: int) -> bool:
    """Let it go on; whether it does. (nsenter may stop once more, with its program.)"""
    try:
        stopped = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # it has ended
        return True
    if stopped:
        os.kill(pid, signal.SIGCONT)
    return not stopped


class Second:
    """Another netchain comes while the first one is in the middle of its work."""

    def __init__(self, scene: Scene, *words: str, kill_first: bool = False) -> None:
        self._scene, self._words, self._kill_first = scene, scene.words(*words), kill_first
        self.status: int | None = None
        self.said = ""
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, run: Run, message: Message) -> Message | None:
        shim = Path(__file__).with_name("crash_cli.py")
        self._process = subprocess.Popen(
            [sys.executable, str(shim), str(self._scene.frames), *self._words],
            env=self._scene.netchain.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        if "--wait" in self._words:
            assert until(lambda: _sleeps(self._process), 20)
        else:
            self.finish()
        if self._kill_first:
            run.kill()
            self.finish()
            return None
        return message

    def finish(self) -> None:
        """Wait until it has ended."""
        assert self._process is not None
        self.said = self._process.communicate(timeout=150)[1]
        self.status = self._process.returncode


def _sleeps(process: subprocess.Popen[str] | None) -> bool:
    """Whether it sleeps for a time, as it does only when it waits for a lock."""
    assert process is not None and process.poll() is None
    return "nanosleep" in Path(f"/proc/{process.pid}/wchan").read_text()


def full_disk(directory: Path, files: int) -> tuple[str, ...]:
    """Words before a command for which the directory is a disk with room for so many files."""
    mount = f"mount -t tmpfs -o size=64k,nr_inodes={files + 1} tmpfs {directory}"
    return ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")


@contextmanager
def silent_vpn(netchain: Netchain, provider: str = "lab:provider-a") -> Iterator[None]:
    """The VPN's server hears nothing."""
    drop = "table inet silent { chain i { type filter hook input priority 0; policy drop; }; }"
    netchain.in_network(provider, "nft", drop)
    try:
        yield
    finally:
        netchain.in_network(provider, "nft", "delete table inet silent")

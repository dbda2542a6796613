"""Programs that stay: started in their node, set up, restarted when they end.

A program that ends is started again after a pause that doubles (0.1 s to 5 s) and is short again
once it has lived for ten seconds. The descriptor of a tunnel stays with the keeper, so a crash of
the VPN program leaves a black hole, never another way out. `setup` commands run after each start
and are tried again until they succeed (a program needs a moment to open its control socket).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from netchain.backends.base import Command, Service
from netchain.backends.netns import spawn

_PAUSE_MIN_S, _PAUSE_MAX_S, _STEADY_S = 0.1, 5.0, 10.0
_SETUP_MIN_S, _SETUP_MAX_S = 0.02, 1.0

Spawn = Callable[["Supervised", Command], "subprocess.Popen[bytes]"]


@dataclass
class Supervised:
    """One service of one node and where it is in its life."""

    node: str
    service: Service
    log: Path
    process: subprocess.Popen[bytes] | None = None
    helper: subprocess.Popen[bytes] | None = None
    pending: list[Command] = field(default_factory=list)
    started: float = 0.0
    due: float = 0.0
    pause: float = _PAUSE_MIN_S
    setup_pause: float = _SETUP_MIN_S
    starts: int = 0

    @property
    def running(self) -> bool:
        """Set up, and not stopped (SIGSTOP). nsenter, which waits for the program, stops with it
        and stays so when the program alone is continued: its end would not be noticed."""
        if self.process is None or self.pending or self.helper is not None:
            return False
        return _state(self.process.pid) != "T"


class Supervisor:
    """All services of a site. `poll` is called when a child has ended or time is due."""

    def __init__(self, start: Spawn) -> None:
        self._spawn = start
        self._services: dict[tuple[str, str], Supervised] = {}

    def add(self, node: str, service: Service, log: Path) -> None:
        """Start a service (again, when one of that name is there: the old one is ended)."""
        self.drop(node, service.name)
        supervised = Supervised(node, service, log)
        self._services[node, service.name] = supervised
        self._start(supervised)

    def drop(self, node: str, name: str | None = None) -> None:
        """End one service of a node, or all of them, and forget them."""
        for key in [k for k in self._services if k[0] == node and name in (None, k[1])]:
            supervised = self._services.pop(key)
            for process in (supervised.process, supervised.helper):
                if process is not None and process.poll() is None:
                    spawn.kill(process)
                    process.wait()

    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Every child process that is held here."""
        both = [p for s in self._services.values() for p in (s.process, s.helper)]
        return [process for process in both if process is not None]

    def of(self, node: str) -> dict[str, Supervised]:
        return {name: s for (at, name), s in self._services.items() if at == node}

    def next_due(self) -> float | None:
        """Seconds until `poll` has something to do by the clock; None when nothing is due."""
        due = [s.due for s in self._services.values() if s.due]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def poll(self) -> None:
        now = time.monotonic()
        for supervised in list(self._services.values()):
            self._poll_one(supervised, now)

    def _poll_one(self, s: Supervised, now: float) -> None:
        if s.process is not None and s.process.poll() is not None:
            steady = now - s.started > _STEADY_S
            s.pause = _PAUSE_MIN_S if steady else min(s.pause * 2, _PAUSE_MAX_S)
            s.process, s.due = None, now + s.pause
            if s.helper is not None:
                spawn.kill(s.helper)
        if s.helper is not None and s.helper.poll() is not None:
            if s.helper.returncode == 0 and s.pending:
                s.pending.pop(0)
            s.helper = None
            if s.process is not None:
                s.due = now + s.setup_pause if s.pending else 0.0
                s.setup_pause = min(s.setup_pause * 2, _SETUP_MAX_S)
        if s.due and s.due <= now:
            s.due = 0.0
            try:
                if s.process is None:
                    self._start(s)
                elif s.pending and s.helper is None:
                    s.helper = self._spawn(s, s.pending[0])
            except OSError:  # no process, no descriptor, no log directory: later, then
                s.due = now + _PAUSE_MAX_S

    def _start(self, s: Supervised) -> None:
        s.process = self._spawn(s, Command(s.service.argv))
        s.started = time.monotonic()
        s.setup_pause = _SETUP_MIN_S
        s.starts += 1
        s.pending = list(s.service.setup)
        s.due = s.started if s.pending else 0.0


def _state(pid: int) -> str:
    """The letter of proc(5) for the process; "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""

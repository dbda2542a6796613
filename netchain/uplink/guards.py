"""The command line's side of a guard: find it, start it, end it, or clean up after one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netchain import marked
from netchain.backends.netns.client import site_dir
from netchain.errors import Exit, NetchainError, Problem
from netchain.uplink import host, nic, pasta, record
from netchain.uplink.guard import MARKER

_START_S, _END_S = 20.0, 20.0


def find(site: str) -> Iterator[tuple[int, str]]:
    """PIDs of our own guards of that site (of this state directory), and what each was started
    for."""
    return ((pid, words[0]) for pid, words in marked.find(MARKER, site))


def start(site: str, version: str, spec: dict[str, Any]) -> None:
    """Start the site's guard and wait until the uplink is open.

    Raises NetchainError with what it says when it cannot; then it has ended and taken back what
    it had done.
    """
    ready, tell = os.pipe()
    words = [MARKER, marked.identity(site), version, json.dumps(spec), str(tell)]
    log = site_dir(site) / "uplink.log"
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "netchain.uplink.guard", *words], pass_fds=[tell],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True,
            )  # fmt: skip
        os.close(tell)
        answer = os.read(ready, 1 << 16) if select.select([ready], [], [], _START_S)[0] else b""
    finally:
        os.close(ready)
    if answer != b"{}":
        process.kill()
        process.wait()
        raise _failure(answer, log)


def _failure(answer: bytes, log: Path) -> NetchainError:
    if answer:
        data = json.loads(answer)
        return NetchainError([Problem(**p) for p in data["problems"]], Exit(data["exit"]))
    return NetchainError(Problem("E038", f"the uplink was not opened: {last_words(log)}"))


def last_words(log: Path) -> str:
    """The last thing that a guard or its helper said."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    words = next((line for line in reversed(lines) if "to syslog" not in line), "it said nothing")
    return "".join(c for c in words if c.isprintable())[:300]


def end(site: str, router: int = 0) -> None:
    """End the site's guards, and take back what one that was killed has left.

    `router` is the process that holds the router's namespace, while there is one: only from there
    can a NIC be fetched.
    """
    for pid, _ in find(site):
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], _END_S)[0]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], _END_S)
            os.close(process)
    directory = site_dir(site)
    data = record.read(directory)
    match data.get("kind"):
        case "pasta":
            pasta.undo(data)
        case "host":
            host.undo(data)
        case "nic":
            nic.undo(data, f"/proc/{router}/ns/net" if router else "")
    record.forget(directory)

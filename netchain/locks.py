"""Locks between commands of one user: files in the runtime directory, released with their process.

A chain's lock has its name; others begin with a colon, as no chain's name does.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netchain import paths
from netchain.errors import NetchainError, Problem

_POLL_S = 0.1


@contextmanager
def held(name: str, what: str, wait: float = 0, hint: str = "") -> Iterator[None]:
    """Hold the lock; `wait` seconds for another process to end.

    NetchainError (E056) says who has it; `what` are the words for what is locked.
    """
    deadline = time.monotonic() + wait
    while (fd := take(name)) is None:
        if time.monotonic() >= deadline:
            title = f"{what} is being changed by process {_holder(name)}"
            raise NetchainError(Problem("E056", title, help=hint))
        time.sleep(_POLL_S)  # a bounded poll: flock has no deadline
    try:
        yield
    finally:
        os.close(fd)


def take(name: str) -> int | None:
    """A descriptor that holds the lock while it is open; None when another one does."""
    fd = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _path(name: str) -> Path:
    directory = paths.runtime_dir() / "locks"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{name}.lock"


def _holder(name: str) -> str:
    return _path(name).read_text().strip() or "unknown"

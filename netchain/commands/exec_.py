"""netchain exec: run a program in a qube, without capabilities, with a terminal when there is one.

The program gets a terminal of its own (a new session), never the caller's: a hostile program could
push characters into that one (TIOCSTI).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath

import click

from netchain.backends.base import User
from netchain.backends.netns.client import KeeperClient, Spawned
from netchain.commands import common
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Role

_KEPT = ("COLORTERM", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER")


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("target", metavar="CHAIN[:QUBE]")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def command(target: str, words: tuple[str, ...]) -> int:
    """Run CMD in a qube (the workstation, unless QUBE is named); its exit code is ours."""
    return run(target, words)


def run(target: str, words: tuple[str, ...]) -> int:
    """Run the program; its exit status, 128 + N when signal N ended it."""
    name, qube = common.split(target)
    found = common.find(name)
    chain = found.chain
    if qube is None:
        workstations = chain.with_role(Role.WORKSTATION)
        qube = workstations[0].name if workstations else ""
    node = f"{chain.name}:{qube}"
    keeper = common.keeper(chain)
    if node not in keeper.ask("observe", prefix=node)["nodes"]:
        names = ", ".join(q.name for q in chain.qubes)
        problem = Problem("E057", f"there is no running qube {qube!r} in {chain.name}",
                          accepted=names, help=f"netchain up {name}")  # fmt: skip
        raise NetchainError(problem, Exit.NOT_READY)
    return in_node(keeper, node, words)


def in_node(
    keeper: KeeperClient, node: str, words: tuple[str, ...], home: PurePath | None = None
) -> int:
    """Run the program in a node that runs, with our terminal when there is one; with `home` that is
    its home and where it starts."""
    spawn = partial(_spawn, keeper, node, words, home)
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _with_terminal(spawn)
    with spawn((0, 1, 2), terminal=False) as spawned:
        return spawned.wait() or 0


def _spawn(
    keeper: KeeperClient, node: str, words: tuple[str, ...], home: PurePath | None,
    streams: tuple[int, int, int], *, terminal: bool,
) -> Spawned:  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith("LC_")}
    if home is not None:
        environment["HOME"] = str(home)
    return keeper.spawn(
        node, words, streams, user=User.PERSON, terminal=terminal,
        directory=str(home or Path.cwd()), environment=environment,
    )  # fmt: skip


def _with_terminal(spawn: Callable[..., Spawned]) -> int:
    master, slave = pty.openpty()
    _copy_size(master)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    with spawn((slave, slave, slave), terminal=True) as spawned:
        os.close(slave)
        with _raw():
            _relay(master)
        return spawned.wait() or 0


def _copy_size(master: int) -> None:
    size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Our terminal hands on every key while the program runs, and is as it was afterwards."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)


def _relay(master: int) -> None:
    """Both ways until the program's side is closed (EIO when its last descriptor is gone)."""
    sources = [0, master]
    while True:
        readable, _, _ = select.select(sources, [], [])
        try:
            if master in readable:
                data = os.read(master, 1 << 16)
                if not data:
                    return
                os.write(1, data)
        except OSError:
            return
        if 0 in readable:
            keys = os.read(0, 1 << 12)
            if keys:
                os.write(master, keys)
            else:
                sources.remove(0)

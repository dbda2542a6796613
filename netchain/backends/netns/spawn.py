"""Programs inside a node: which words go before their own (nsenter, setpriv, unshare, setsid).

`PERSON` and `TOR` have no capabilities and can never get any (empty bounding set,
no_new_privs). Where the site has a range of uids they have uids of their own; with a single uid
they are all uid 0 of the site's user namespace, hence `PERSON` gets a nested user namespace, in
which nothing of the site is its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from netchain.backends.base import User

_NO_CAPABILITIES = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


@dataclass
class Running:
    """A program that runs for a client, and ends with the client's connection."""

    client: socket.socket
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class SiteUids:
    """The uids of a site as its programs see them; None where all share uid 0."""

    tor: tuple[int, int] | None
    person: tuple[int, int] | None


def argv(
    pid: int,
    command: Sequence[str],
    user: User,
    uids: SiteUids,
    *,
    terminal: bool = False,
    directory: str = "/",
) -> list[str]:
    """The whole command line that runs `command` in the node held by `pid`."""
    words = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid"]
    words += [f"--wdns={directory}"]
    if terminal:
        words += ["setsid", "--ctty"]
    ids = {User.ROOT: (0, 0), User.TOR: uids.tor, User.PERSON: uids.person}[user]
    if user is User.PERSON and ids is None:
        words += ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    words += ["setpriv", "--pdeathsig=KILL"]
    if user is not User.ROOT:
        if ids is not None:
            words += [f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups"]
        words += _NO_CAPABILITIES
    return [*words, "--", *command]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it with its process group, which it leads: nsenter's child would outlive nsenter until
    setpriv has asked for its death."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

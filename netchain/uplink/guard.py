"""The guard of a real uplink: a process beside the site, in the namespaces of who called netchain.

It opens the uplink (a helper program, a veth, a NIC that is moved), says so, and takes everything
back when the site's keeper ends, when its helper ends, or when it is told to (SIGTERM). It holds
the router's namespace, so that a NIC can still be fetched when the keeper has been killed; nothing
is left in that namespace then that could send.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

from netchain.errors import NetchainError, from_os
from netchain.uplink import host
from netchain.uplink.host import Host
from netchain.uplink.nic import Nic
from netchain.uplink.pasta import Pasta

MARKER = "netchain-uplink"


class Uplink(Protocol):
    """One kind of uplink, outside the site."""

    def open(self, netns: str) -> int | None:
        """Connect the router's namespace (a path); a descriptor that is readable when what
        carries the packets has ended. NetchainError when something is refused."""

    def close(self) -> None:
        """Take everything back; fine when it was never opened."""


def uplink(spec: dict[str, Any]) -> Uplink:
    """The uplink of a chain: `uplink` is the profile's own word."""
    directory, kind = Path(spec["directory"]), spec["uplink"]
    if kind == "host":
        return Host(directory, spec["chain"], host.outside(spec["chain"]))
    if kind == "pasta":
        return Pasta(directory, spec["keeper"])
    return Nic(directory, kind.removeprefix("nic:"))


def main() -> None:
    """`guard MARKER SITE VERSION SPEC READY_FD`: started by guards.py, never by hand."""
    _marker, _site, _version, text, ready = sys.argv[1:6]
    spec = json.loads(text)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, lambda *_: None)
    answer: dict[str, Any] = {}
    try:
        keeper = os.pidfd_open(spec["keeper"])
        there = uplink(spec)
        try:
            ended = there.open(f"/proc/{spec['router']}/ns/net")
            os.write(int(ready), json.dumps(answer).encode())
            os.close(int(ready))
            wait = [keeper, woken] if ended is None else [keeper, woken, ended]
            select.select(wait, [], [])
        finally:
            there.close()
    except NetchainError as error:
        answer = {"problems": [vars(p) for p in error.problems], "exit": int(error.exit_code)}
    except OSError as error:
        answer = {"problems": [vars(p) for p in from_os(error).problems], "exit": 1}
    if answer:
        os.write(int(ready), json.dumps(answer).encode())
        sys.exit(1)


if __name__ == "__main__":
    main()

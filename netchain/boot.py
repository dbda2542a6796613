"""The main process of a chain's systemd unit (unit.py): `python -m netchain.boot CHAIN`.

Brings the chain up, closed until it is proved, and tells systemd when it is (sd_notify(3)). An
uplink that ends is opened again by another `up`; when the keeper ends the process fails, and
systemd decides. SIGTERM takes the chain down.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from netchain import apply
from netchain.commands import common
from netchain.commands.common import Found, Purpose
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem, from_os
from netchain.uplink import real

_READY_S, _LOCK_S = 300.0, 60.0


def main() -> None:
    """Exits as netchain does (cli.py); 0 after SIGTERM. However it ends, the chain is down."""
    signal.signal(signal.SIGTERM, _stop)
    console = Console()
    try:
        found = common.find(sys.argv[1])
        real.require_real(found.chain)
        try:
            _keep_up(found, console)
        finally:
            real.stop(found.chain)
    except (NetchainError, OSError) as problem:
        error = from_os(problem) if isinstance(problem, OSError) else problem
        console.error(error)
        sys.exit(error.exit_code)


def _stop(_number: int, _frame: object) -> None:
    notify("STOPPING=1")
    raise SystemExit(0)


def _keep_up(found: Found, console: Console) -> None:
    while True:
        locked = common.lock(found.chain, _LOCK_S)
        with locked, common.site(found, console, purpose=Purpose.UP) as (chain, site):
            site.timeout = _READY_S
            apply.up(chain, site)
        notify(f"READY=1\nSTATUS={chain.name} is up")
        _wait(found)
        notify("STATUS=the uplink has ended; it is opened again")
        console.say("The uplink has ended; it is opened again.")


def _wait(found: Found) -> None:
    """Return when the uplink has ended; NetchainError when the keeper has."""
    keepers, guards = real.processes(found.chain)
    if keepers and guards:
        ends = [_end_of(pid) for pid in (*keepers, *guards)]
        select.select(ends, [], [])
        for fd in ends:
            os.close(fd)
        keepers, _ = real.processes(found.chain)
    if not keepers:
        problem = Problem("E051", f"the keeper of {found.chain.name} has ended")
        raise NetchainError(problem, Exit.FAILED, "Its namespaces are gone with it: closed.")


def _end_of(pid: int) -> int:
    """A descriptor that is readable once the process has ended, also when it has already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return os.open(os.devnull, os.O_RDONLY)


def notify(words: str) -> None:
    """Tell systemd; nothing where nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(words.encode())


if __name__ == "__main__":
    main()

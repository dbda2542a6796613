"""T. Tor dies, hangs, or is stopped while programs of the workstation hold connections open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

from leaktests.engine.fault import Bench, Faults
from netchain import programs
from netchain.backends.base import User
from netchain.lab import internet
from netchain.model.chain import Qube, Role

topic = Faults(Role.TOR_GATEWAY)
_FLOWS = 20
_HOLD = """
import socket, sys
flows = [socket.create_connection((sys.argv[1], 80), 5) for _ in range(int(sys.argv[2]))]
print("open", flush=True)
sys.stdin.readline()
for flow in flows:
    try:
        flow.send(b"GET /")
    except OSError:  # the other end has reset it
        pass
    flow.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def _gateway(bench: Bench) -> Qube:
    return bench.qube(Role.TOR_GATEWAY)


def _process(bench: Bench) -> str:
    bench.wait(lambda: bool(bench.pids(_gateway(bench), "tor")), "tor does not run")
    return bench.pids(_gateway(bench), "tor")[0]


@topic.fault("T03", "tor is killed", degrades=Role.TOR_GATEWAY)
def killed(bench: Bench) -> Iterator[None]:
    pid = _process(bench)
    bench.run(_gateway(bench), "kill", "-KILL", pid)
    bench.wait(lambda: not bench.state_of(_gateway(bench), pid), "tor still runs")
    yield


@topic.fault("T03", "tor hangs", degrades=Role.TOR_GATEWAY)
def hung(bench: Bench) -> Iterator[None]:
    pid = _process(bench)
    bench.run(_gateway(bench), "kill", "-STOP", pid)
    bench.wait(lambda: bench.state_of(_gateway(bench), pid) == "T", "tor is not stopped")
    yield
    bench.run(_gateway(bench), "kill", "-CONT", pid)


@topic.fault("T02", "tor is restarted under live connections (SIGHUP)")
def reloaded(bench: Bench) -> Iterator[None]:
    pid = _process(bench)
    with _connections(bench) as close:
        bench.run(_gateway(bench), "kill", "-HUP", pid)
        yield
        close()


@topic.fault(
    "T02", "tor is stopped under live connections, which are closed then", degrades=Role.TOR_GATEWAY
)
def stopped(bench: Bench) -> Iterator[None]:
    """The FIN and ACK of a connection whose other end is gone may go nowhere (Whonix's leak)."""
    pid = _process(bench)
    with _connections(bench) as close:
        for service in programs.wanted(bench.chain, bench.site, _gateway(bench)):
            programs.stop(bench.chain, bench.site, _gateway(bench), service)
        bench.wait(lambda: not bench.state_of(_gateway(bench), pid), "tor still runs")
        close()
        yield


@contextmanager
def _connections(bench: Bench) -> Iterator[_Close]:
    """Connections of a program in the workstation, open through tor, and what closes them."""
    client = next(q for q in bench.chain.clients(_gateway(bench).name))
    words = (str(internet.host(internet.SITE).address4), str(_FLOWS))
    (source, tell), (listen, out) = os.pipe(), os.pipe()
    node = f"{bench.chain.name}:{client.name}"
    python = str(Path(sys.executable).resolve())  # what it leads to is seen in a qube, too
    argv = [python, "-I", "-c", _HOLD, *words]
    try:
        with bench.netns.keeper.spawn(node, argv, (source, out, out), user=User.PERSON):
            program = _Close(bench, tell, listen)
            program.expect(b"open")
            yield program
    finally:
        for fd in (source, tell, listen, out):
            os.close(fd)


class _Close:
    """Has the program close its connections."""

    def __init__(self, bench: Bench, tell: int, listen: int) -> None:
        self._bench, self._tell, self._listen = bench, tell, listen

    def __call__(self) -> None:
        os.write(self._tell, b"\n")
        self.expect(b"closed")

    def expect(self, word: bytes) -> None:
        ready, _, _ = select([self._listen], [], [], 20)
        said = os.read(self._listen, 4096) if ready else b""
        self._bench.require(
            word in said, f"the connections are not {word.decode()}: {said[-100:]!r}"
        )

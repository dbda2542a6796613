"""The peer of a switch: one client moved between two routers with ip(8), its link deleted and made
anew, under the same stream. Runs in namespaces of its own; no rules, so it is flattered.

As a program, inside them: prints packets lost and ms for each switch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread

_PYTHON = (sys.executable, "-I", "-S", "-c")
_WAIT_S = 0.5

_STREAM = """
import socket, sys, time
sender, sent, start = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0, time.monotonic()
while True:
    due = int((time.monotonic() - start) * int(sys.argv[1]))
    while sent < due:
        sent += 1
        try:
            sender.sendto(sent.to_bytes(8), ("192.0.2.1", 4444))
        except OSError:
            pass
    time.sleep(0.0005)
"""
_SINK = """
import socket, sys
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("0.0.0.0", 4444))
while True:
    print(int.from_bytes(sink.recv(64)), flush=True)
"""


_APART = (
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child",
)  # fmt: skip


def run(rate: int, count: int) -> list[dict[str, float]]:
    """Measure in a user, network and mount namespace of the bench's own."""
    script = f"mount -t tmpfs tmpfs /run && exec {sys.executable} -I {__file__} {rate} {count}"
    done = subprocess.run(
        [*_APART, "sh", "-c", script],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def _wire(router: str) -> None:
    _ip(f"-n client link add eth0 type veth peer name vif netns {router}")
    _ip("-n client addr add 10.0.0.2/32 dev eth0")
    _ip("-n client link set eth0 up")
    _ip(f"-n {router} link set vif up")
    _ip(f"-n {router} addr add 10.0.0.1/32 dev vif")
    _ip(f"-n {router} route add 10.0.0.2 dev vif")
    _ip("-n client route add 10.0.0.1 dev eth0")
    _ip("-n client route add default via 10.0.0.1")


class _End:
    """Where the stream ends: the numbers that came, in order."""

    def __init__(self, router: str) -> None:
        argv = ["ip", "netns", "exec", router, *_PYTHON, _SINK]
        self.program = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.numbers: list[int] = []
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.program.stdout is not None
        for line in self.program.stdout:
            self.numbers.append(int(line))

    def await_more(self) -> int:
        """The next number that comes. TimeoutError when none does."""
        there, deadline = len(self.numbers), time.monotonic() + _WAIT_S
        while len(self.numbers) == there:
            if time.monotonic() > deadline:
                raise TimeoutError("the stream does not come")
            time.sleep(0.001)  # a bounded poll
        return self.numbers[there]

    def last(self) -> int:
        """The last number, when no more come."""
        with suppress(TimeoutError):
            while True:
                self.await_more()
        return self.numbers[-1]


def _main(rate: int, count: int) -> None:
    for name in ("client", "a", "b"):
        _ip(f"netns add {name}")
    for router in "ab":  # the routers are where the stream ends: everything is theirs
        _ip(f"-n {router} link set lo up")
        _ip(f"-n {router} addr add 192.0.2.1/32 dev lo")
    _wire("a")
    ends = {router: _End(router) for router in "ab"}
    stream = subprocess.Popen(["ip", "netns", "exec", "client", *_PYTHON, _STREAM, str(rate)])
    found = []
    try:
        for number in range(count):
            before, after = "ab"[number % 2], "ab"[(number + 1) % 2]
            found.append(_switch(ends[before], ends[after], after))
    finally:  # or who reads what is printed would wait for their ends
        for process in (stream, *(end.program for end in ends.values())):
            process.kill()
    print(json.dumps(found))


def _switch(old: _End, new: _End, router: str) -> dict[str, float]:
    old.await_more()
    mark, start = len(new.numbers), time.monotonic()
    _ip("-n client link del eth0")
    _wire(router)
    took = time.monotonic() - start
    new.await_more()
    return {"ms": took * 1000, "lost": new.numbers[mark] - old.last() - 1}


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))

"""The peer of a switch: one client moved between two routers with ip(8), its link deleted and made
anew, under the same stream. Runs in namespaces of its own; no rules, so it is flattered.

As a program, inside them: prints packets lost and ms for each switch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

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
sink.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
sink.bind(("0.0.0.0", 4444))
while True:
    print(int.from_bytes(sink.recv(64)), flush=True)
"""


def run(rate: int, count: int) -> list[dict[str, float]]:
    """Measure in a user, network and mount namespace of the bench's own."""
    script = f"mount -t tmpfs tmpfs /run && exec {sys.executable} -I {__file__} {rate} {count}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script],
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


def _main(rate: int, count: int) -> None:
    for name in ("client", "a", "b"):
        _ip(f"netns add {name}")
    for router in "ab":  # the routers are where the stream ends: everything is theirs
        _ip(f"-n {router} link set lo up")
        _ip(f"-n {router} addr add 192.0.2.1/32 dev lo")
    _wire("a")
    python = [sys.executable, "-I", "-S", "-c"]
    sinks = [
        subprocess.Popen(
            ["ip", "netns", "exec", router, *python, _SINK], stdout=subprocess.PIPE, text=True
        )
        for router in "ab"
    ]
    stream = subprocess.Popen(["ip", "netns", "exec", "client", *python, _STREAM, str(rate)])
    found = []
    for number in range(count):
        old, new = sinks[number % 2], sinks[(number + 1) % 2]
        found.append(_switch(old, new, "ab"[(number + 1) % 2]))
    for process in (stream, *sinks):
        process.kill()
    print(json.dumps(found))


def _switch(
    old: subprocess.Popen[str], new: subprocess.Popen[str], router: str
) -> dict[str, float]:
    assert old.stdout is not None and new.stdout is not None
    old.stdout.readline()  # it flows
    start = time.monotonic()
    _ip("-n client link del eth0")
    _wire(router)
    took = time.monotonic() - start
    first = int(new.stdout.readline())
    return {"ms": took * 1000, "lost": first - _last(old) - 1}


def _last(sink: subprocess.Popen[str]) -> int:
    """The last number that came: nothing comes any more, so what is there is all."""
    import os
    import select

    assert sink.stdout is not None
    fd, data = sink.stdout.fileno(), b""
    while select.select([fd], [], [], 0.3)[0]:
        data += os.read(fd, 1 << 16)
    return int(data.split()[-1])


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))

"""A stream of numbered packets from a program in a qube: which of them came where.

The program sends UDP through an ordinary socket, so past every rule, route and group that a
program of the qube meets. A number is used up whether the kernel took the packet or not: one that
was refused counts as lost.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from netchain.backends.base import User
from netchain.backends.netns.client import KeeperClient
from netchain.wire.capture import Captured

TO, PORT = "192.0.2.1", 4444
_PROGRAM = """
import socket, sys, time
mark, rate, to, port = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sender, number, start = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0, time.monotonic()
while True:
    due = int((time.monotonic() - start) * rate)
    while number < due:
        number += 1
        try:
            sender.sendto(mark + number.to_bytes(8), (to, port))
        except OSError:
            pass
    time.sleep(0.0005)  # its pace: what is due is sent at once
"""


class Stream:
    """Packets of `rate` a second from a node's program, while the context lasts."""

    def __init__(self, keeper: KeeperClient, node: str, rate: int) -> None:
        self._mark = secrets.token_bytes(8)
        self._keeper, self._node = keeper, node
        words = (self._mark.hex(), str(rate), TO, str(PORT))
        self._argv = ("python3", "-I", "-S", "-c", _PROGRAM, *words)

    def __enter__(self) -> Self:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            streams = (null, null, 2)
            self._program = self._keeper.spawn(self._node, self._argv, streams, user=User.ROOT)
        finally:
            os.close(null)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._program.__exit__(kind, error, trace)

    def numbers(self, frames: Iterable[Captured]) -> list[tuple[int, int]]:
        """Number and time (ns) of each of its packets among the frames."""
        found = ((frame, frame.frame.find(self._mark)) for frame in frames)
        return [
            (int.from_bytes(frame.frame[at + 8 : at + 16]), frame.time_ns)
            for frame, at in found
            if at >= 0
        ]


def lost(*seen: Iterable[int]) -> int:
    """How many numbers are missing between the first and the last that was seen anywhere."""
    every = {number for numbers in seen for number in numbers}
    return max(every) - min(every) + 1 - len(every) if every else 0

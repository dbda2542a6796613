"""Agents that lie: honest but for one thing that a test changes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from netchain.wire import agent
from netchain.wire.agent_records import Record
from netchain.wire.remote_agent import Agent

DEADLINE_S = 20.0


def encoded(record: Record) -> bytes:
    return agent.HEAD.pack(record.kind, record.number, len(record.body)) + record.body


def frame_body(data: bytes = b"frame", flags: int = 0, time_ns: int = 1) -> bytes:
    return agent.FRAME_HEAD.pack(flags, time_ns) + data


class Liar:
    """An agent at the other end of a line, honest but for one thing; it hears one ear."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.ears: list[int] = []
        self.lost, self.ahead_ns = 0, 0
        self.statuses = 0

    def serve(self) -> None:
        try:
            self.greet()
            with self.line.makefile("rb") as commands:
                while head := commands.read(agent.HEAD.size):
                    kind, number, length = agent.HEAD.unpack(head)
                    self.obey(kind, number, commands.read(length))
        except (OSError, ValueError):
            pass  # the line was closed
        finally:
            self.line.close()

    def greet(self) -> None:
        self.line.sendall(agent.GREETING)

    def obey(self, kind: int, number: int, body: bytes) -> None:  # noqa: ARG002
        if kind == agent.HEAR:
            self.ears.append(number)
            self.answer(number, agent.LENGTH.pack(1))
            self.armed(number)
        elif kind == agent.SEND:
            self.answer(number, agent.LENGTH.pack(self.sent()))
        elif kind == agent.STATUS:
            self.statuses += 1
            self.answer(number, self.status())
        else:
            self.answer(number, b"")
            if kind == agent.END:
                raise OSError

    def status(self) -> bytes:
        ears = [agent.EAR.pack(ear, agent.UP, 0, 0, self.lost) for ear in self.ears]
        clocks = agent.CLOCKS.pack(time.time_ns() + self.ahead_ns, time.monotonic_ns())
        return clocks + b"".join(ears)

    def sent(self) -> int:
        return 1

    def armed(self, ear: int) -> None:
        """Lie here."""

    def answer(self, number: int, body: bytes, error: int = 0) -> None:
        self.put(agent.ANSWER, number, agent.RESULT.pack(error) + body)

    def put(self, kind: int, number: int, body: bytes) -> None:
        self.line.sendall(encoded(Record(kind, number, body)))


@contextmanager
def lied_to(
    kind: type[Liar], deadline_s: float = DEADLINE_S, limit: int = 10_000
) -> Iterator[Agent]:
    ours, theirs = socket.socketpair()
    liar = Thread(target=kind(theirs).serve, daemon=True)
    liar.start()
    try:
        heard = Agent(ours, ours, limit=limit, deadline_s=deadline_s)
        yield heard
        heard.close()
    finally:
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)  # also where the tap has not closed it
        ours.close()
        liar.join(DEADLINE_S)
        assert not liar.is_alive()

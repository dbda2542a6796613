"""What a remote tap believes of an agent that lies: nothing, and it says so.

Not covered: agents that really fail (tests/lab/test_agent_fails.py).
"""

from __future__ import annotations

import errno
import re
import socket
import time
from contextlib import suppress

import pytest
from liars import DEADLINE_S, Liar, encoded, frame_body, lied_to

from netchain.wire import agent
from netchain.wire.agent_records import Record
from netchain.wire.remote_agent import Agent
from netchain.wire.remote_tap import RemoteEnd, RemoteTap


class Deaf(Liar):
    def greet(self) -> None:
        """Nothing."""

    def obey(self, kind: int, number: int, body: bytes) -> None:
        """Nothing."""


class Chatty(Liar):
    def greet(self) -> None:
        self.line.sendall(b"login: ")


class Short(Liar):
    def greet(self) -> None:
        self.line.sendall(agent.GREETING[:5])
        raise OSError


@pytest.mark.parametrize(
    ("liar", "reason"),
    [
        (Deaf, "it did not answer within 0.2 s"),
        (Chatty, "it did not greet as an agent does"),
        (Short, "it ended"),
    ],
)
def test_an_agent_that_does_not_get_ready_is_an_error(liar: type[Liar], reason: str) -> None:
    short = 0.2 if liar is Deaf else DEADLINE_S
    with pytest.raises(ConnectionError, match=reason), lied_to(liar, deadline_s=short):
        pass


def test_an_agent_that_reads_nothing_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ConnectionError, match=r"it read no commands for 0\.2 s"):
        Agent(ours, ours, source=bytes(1 << 24), deadline_s=0.2)


class Flooding(Liar):
    def armed(self, ear: int) -> None:
        while True:
            self.put(agent.FRAME, ear, frame_body(bytes(1000)))


class FloodingGarbage(Liar):
    def armed(self, ear: int) -> None:  # noqa: ARG002
        while True:
            self.line.sendall(b"\xff" * (1 << 16))


class Stranger(Liar):
    def armed(self, ear: int) -> None:
        self.put(agent.FRAME, ear + 1, frame_body())


class Ghost(Liar):
    def armed(self, ear: int) -> None:
        self.put(agent.GONE, ear, b"")
        self.put(agent.FRAME, ear, frame_body())


class Talkative(Liar):
    def armed(self, ear: int) -> None:
        self.answer(ear, b"")


class Ending(Liar):
    def armed(self, ear: int) -> None:
        self.put(agent.FRAME, ear, frame_body(b"the last"))
        raise OSError


class Cut(Liar):
    def armed(self, ear: int) -> None:
        self.line.sendall(encoded(Record(agent.FRAME, ear, frame_body()))[:-1])
        raise OSError


class TakingBack(Liar):
    def armed(self, ear: int) -> None:  # noqa: ARG002
        self.lost = 5

    def status(self) -> bytes:
        self.lost = max(0, self.lost - 1)
        return super().status()


class OtherEars(Liar):
    def armed(self, ear: int) -> None:
        self.ears.append(ear + 1)


class NoEars(Liar):
    def armed(self, ear: int) -> None:  # noqa: ARG002
        self.ears.clear()


class ClockSetter(Liar):
    def armed(self, ear: int) -> None:  # noqa: ARG002
        self.ahead_ns = 10**9


class Boaster(Liar):
    def sent(self) -> int:
        return 7


class Refusing(Liar):
    def obey(self, kind: int, number: int, body: bytes) -> None:
        if kind == agent.STATUS and self.ears:
            self.answer(number, b"", errno.EPERM)
        else:
            super().obey(kind, number, body)


@pytest.mark.parametrize(
    ("liar", "reason"),
    [
        (Flooding, "it sent more than it may"),
        (FloodingGarbage, r"it sent \d+ bytes of kind \d+"),
        (Stranger, "it sent something of an ear that is not open"),
        (Ghost, "it sent something of an ear that is not open"),
        (Talkative, "it answered what was not asked"),
        (Ending, "it ended"),
        (Cut, "it ended"),
        (TakingBack, "it takes back what was lost"),
        (OtherEars, "it tells the state of other ears"),
        (NoEars, "it tells the state of other ears"),
        (ClockSetter, "the clock of its qube was set"),
        (Boaster, "it says that it sent 7 frames of 1"),
        (Refusing, "it tells no state: .*"),
    ],
)
def test_an_agent_that_lies_fails_the_tap_and_nobody_waits_for_it(
    liar: type[Liar], reason: str
) -> None:
    with lied_to(liar) as heard:
        tap, end = RemoteTap(), RemoteEnd(heard, "eth0")
        with suppress(ConnectionError):
            tap.add("link", end, end)
            tap.inject("link", b"frame")
        tap.drops()
        tap.drops()
        start = time.monotonic()
        assert tap.wait_for(b"never", ["link"], DEADLINE_S) == {"link"}
        assert time.monotonic() - start < DEADLINE_S / 2
        assert tap.failed is not None and re.fullmatch(f"an agent failed: {reason}", tap.failed)
        assert set(tap.dead.values()) <= {tap.failed.replace("an agent", "its agent")}
        assert set(tap.dead) == set(tap.outages)
        with pytest.raises(ConnectionError, match=re.escape(str(heard.failed))):
            heard.speak("eth0")
        failed = tap.failed
        tap.close()
        assert tap.failed == failed


def test_what_was_heard_before_an_agent_failed_is_kept() -> None:
    with lied_to(Ending) as heard:
        tap = RemoteTap()
        tap.add("link", RemoteEnd(heard, "eth0"))
        assert not tap.wait_for(b"the last", ["link"], DEADLINE_S)
        assert tap.wait_for(b"never", ["link"], DEADLINE_S) == {"link"}
        assert tap.failed == "an agent failed: it ended"

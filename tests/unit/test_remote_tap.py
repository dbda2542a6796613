"""What a remote tap makes of what its agent says, and what the agent itself needs.

The agents here have nothing to hear. Not covered: lies (test_agent_lies.py), frames of real links
(tests/lab/test_agent_hears.py), whole chains (tests/lab/test_agent_prove.py).
"""

from __future__ import annotations

import ast
import errno
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import pytest
from liars import DEADLINE_S, Liar, encoded, frame_body, lied_to

from netchain.wire import agent
from netchain.wire.agent_line import Line
from netchain.wire.agent_records import Record
from netchain.wire.capture import Store
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap

SOURCE = Path(agent.__file__).read_text(encoding="utf-8")


def test_frames_that_came_before_an_answer_are_heard_before_it() -> None:
    ours, theirs = socket.socketpair()
    answered, early = Event(), []

    def heard(records: Sequence[Record]) -> None:
        if records:
            early.append(answered.wait(0.2))

    with theirs:
        line = Line(ours, ours, heard, lambda: None, DEADLINE_S)
        frame = Record(agent.FRAME, 1, frame_body())
        answer = Record(agent.ANSWER, 7, agent.RESULT.pack(0) + b"done")
        served = Thread(
            target=lambda: (
                theirs.recv(100)
                and theirs.sendall(agent.GREETING + encoded(frame) + encoded(answer))
            )
        )
        served.start()
        assert line.ask(agent.STATUS, 7) == b"done"
        answered.set()
        served.join(DEADLINE_S)
    line.close()
    assert early == [False]


def test_what_is_taken_makes_room_for_the_agent() -> None:
    class Steady(Liar):
        def obey(self, kind: int, number: int, body: bytes) -> None:
            super().obey(kind, number, body)
            if kind == agent.STATUS and self.ears:
                self.put(agent.FRAME, self.ears[0], frame_body(bytes(1000)))

    with lied_to(Steady, limit=2000) as heard:
        tap = RemoteTap()
        tap.add("link", RemoteEnd(heard, "eth0"))
        for _ in range(5):
            mark = tap.mark()
            tap.take()
            assert not tap.wait_for(lambda _: True, ["link"], DEADLINE_S, mark)
        assert tap.failed is None
        assert tap.outages == {"link": 0} and tap.drops() == {"link": 0}
        assert tap.wait_for(b"never", ["link"], DEADLINE_S) == {"link"}
        assert tap.failed == "an agent failed: it sent more than it may"


def test_an_agent_with_another_clock_is_heard_by_ours() -> None:
    class Ahead(Liar):
        def __init__(self, line: socket.socket) -> None:
            super().__init__(line)
            self.ahead_ns = 3600 * 10**9

        def armed(self, ear: int) -> None:
            self.put(agent.FRAME, ear, frame_body(time_ns=time.time_ns() + self.ahead_ns))

    with lied_to(Ahead) as heard, RemoteTap() as tap:
        start = time.time_ns()
        tap.add("link", RemoteEnd(heard, "eth0"))
        assert not tap.wait_for(lambda _: True, ["link"], DEADLINE_S)
        (captured,) = tap.frames("link")
        assert abs(captured.time_ns - start) < 10**9
        assert tap.failed is None


def test_a_frame_that_no_agent_takes_is_an_error() -> None:
    with lied_to(Liar) as heard:
        with pytest.raises(OSError, match="Message too long"):
            heard.send(heard.speak("eth0"), [bytes(agent.MAX_BODY)])
        assert heard.failed is None


def test_the_agent_needs_nothing_but_the_standard_library_of_python_3_9() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 9))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module))
    assert names <= sys.stdlib_module_names


def test_the_agent_runs_from_its_input_and_ends_with_it() -> None:
    argv, source = program()
    command = [sys.executable, "-S", *argv[1:]]  # without any installed package
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd="/"
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        with RemoteTap() as tap:
            heard = Agent(process.stdout, process.stdin, source)
            with pytest.raises(OSError, match=r"No such device|Operation not permitted"):
                tap.add("link", RemoteEnd(heard, "nowhere"))
            assert tap.failed is None and not tap.dead
        assert process.wait(DEADLINE_S) == 0


def test_a_store_may_hear_a_link_again_that_could_not_be_opened() -> None:
    class Closed(Liar):
        def obey(self, kind: int, number: int, body: bytes) -> None:
            if kind == agent.HEAR and body == b"closed":
                self.answer(number, b"", errno.ENODEV)
            else:
                super().obey(kind, number, body)

    with lied_to(Closed) as heard:
        store = Store(1000)
        with pytest.raises(OSError, match="No such device"):
            heard.hear("link", "closed", store)
        assert heard.hear("link", "open", store).buffer == 1
        heard.refresh()
        assert heard.failed is None

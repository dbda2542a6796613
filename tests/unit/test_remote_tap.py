"""What a remote tap believes of an agent: nothing that the protocol does not allow.

The agents here are liars, or have nothing to hear. Not covered: frames of real links
(tests/lab/test_agent.py), whole chains (tests/lab/test_agent_prove.py).
"""

from __future__ import annotations

import ast
import errno
import itertools
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netchain.wire import agent, agent_records
from netchain.wire.agent_line import Line
from netchain.wire.agent_records import MisbehaviourError, Parser, Record
from netchain.wire.capture import Store
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap

SOURCE = Path(agent.__file__).read_text(encoding="utf-8")
DEADLINE_S = 20.0
KINDS = (agent.FRAME, agent.GONE, agent.ANSWER)


def encoded(record: Record) -> bytes:
    return agent.HEAD.pack(record.kind, record.number, len(record.body)) + record.body


def frame_body(data: bytes = b"frame", flags: int = 0, time_ns: int = 1) -> bytes:
    return agent.FRAME_HEAD.pack(flags, time_ns) + data


good = st.one_of(
    st.builds(Record, st.just(agent.FRAME), st.integers(0, 65535), st.binary(min_size=9)),
    st.builds(Record, st.just(agent.GONE), st.integers(0, 65535), st.just(b"")),
    st.builds(Record, st.just(agent.ANSWER), st.integers(0, 65535), st.binary(min_size=4)),
)


def chunks(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    yield from (stream[a:b] for a, b in itertools.pairwise(at))


@given(records=st.lists(good), cuts=st.lists(st.integers(0)))
def test_records_are_the_same_however_they_arrive(records: list[Record], cuts: list[int]) -> None:
    stream = agent.GREETING + b"".join(map(encoded, records))
    parser, found = Parser(), []
    for chunk in chunks(stream, cuts):
        found += parser.feed(chunk)
    assert found == records


@given(records=st.lists(good, max_size=3), garbage=st.binary(), cuts=st.lists(st.integers(0)))
@example(records=[], garbage=agent.HEAD.pack(agent.FRAME, 1, agent.MAX_BODY + 1), cuts=[])
@example(records=[], garbage=agent.HEAD.pack(agent.FRAME, 1, 8), cuts=[3])
@example(records=[], garbage=agent.HEAD.pack(0, 1, 9) + bytes(9), cuts=[])
def test_garbage_is_refused_or_waited_for_but_never_made_a_record(
    records: list[Record], garbage: bytes, cuts: list[int]
) -> None:
    stream = agent.GREETING + b"".join(map(encoded, records)) + garbage
    parser, found = Parser(), []
    try:
        for chunk in chunks(stream, cuts):
            found += parser.feed(chunk)
    except MisbehaviourError:
        refused = True
    else:
        refused = False
    for kind, _, body in found:
        assert len(body) >= {agent.FRAME: 9, agent.GONE: 0, agent.ANSWER: 4}[kind]
        assert kind != agent.GONE or not body
    taken = b"".join(map(encoded, found))
    assert stream.startswith(agent.GREETING + taken)  # nothing invented, skipped or put in order
    rest = stream[len(agent.GREETING) + len(taken) :]
    if len(rest) >= agent.HEAD.size and not refused:
        kind, _, length = agent.HEAD.unpack_from(rest)
        assert kind in KINDS and len(rest) - agent.HEAD.size < length <= agent.MAX_BODY


def begins_otherwise(data: bytes) -> bool:
    return not (data.startswith(agent.GREETING) or agent.GREETING.startswith(data))


@given(first=st.binary(min_size=1).filter(begins_otherwise))
@example(first=agent.GREETING.replace(b"1", b"2"))
@example(first=b"a banner\n" + agent.GREETING)
def test_nothing_is_read_that_does_not_begin_with_the_greeting(first: bytes) -> None:
    with pytest.raises(MisbehaviourError):
        list(Parser().feed(first))


@pytest.mark.parametrize(
    "meaning",
    [
        agent_records.result,
        agent_records.count,
        agent_records.status,
        lambda body: agent_records.captured(body, "link", 0),
    ],
    ids=["result", "count", "status", "captured"],
)
@given(body=st.binary(min_size=9, max_size=100))
def test_bodies_mean_something_or_are_refused(
    meaning: Callable[[bytes], object], body: bytes
) -> None:
    with suppress(MisbehaviourError):
        meaning(body)


@pytest.mark.parametrize(
    ("flags", "time_ns"), [(8, 1), (255, 1), (0, 1 << 63), (0, (1 << 32) * 10**9)]
)
def test_frames_with_unknown_flags_or_of_no_time_are_refused(flags: int, time_ns: int) -> None:
    with pytest.raises(MisbehaviourError):
        agent_records.captured(frame_body(flags=flags, time_ns=time_ns), "link", 0)


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

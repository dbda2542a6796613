"""The line to one agent: two byte streams, a thread that reads, one question at a time.

The agent is distrusted: whatever it should not do (end, be silent, read no commands, send what is
no record, answer what was not asked) fails the line, for good: its streams are closed, so that it
ends, and nobody waits for it any more.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Protocol, TypeVar

from netchain.wire import agent
from netchain.wire.agent_records import MisbehaviourError, Parser, Record, result

_CHUNK = 1 << 18
_POLL_MS = 50
_Meaning = TypeVar("_Meaning")


class Stream(Protocol):
    """A pipe's file object, or a socket."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Line:
    """It takes the streams over. `heard` gets all records but answers, in the reader's thread, and
    may raise MisbehaviourError; `ended` is called last."""

    def __init__(
        self,
        output: Stream,
        commands: Stream,
        heard: Callable[[Sequence[Record]], None],
        ended: Callable[[], None],
        deadline_s: float,
    ) -> None:
        self._output, self._commands, self._deadline_s = output, commands, deadline_s
        self._heard, self._when_ended = heard, ended
        self._parser = Parser()
        self._writing, self._changed = Lock(), Condition()
        self._asked: int | None = None
        self._answer: bytes | None = None
        self._failed: str | None = None
        self._ended = self._closing = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for stream in (output, commands):
            os.set_blocking(stream.fileno(), False)
        self._reader = Thread(target=self._read, name="netchain-agent", daemon=True)
        self._reader.start()

    @property
    def failed(self) -> str | None:
        """Why it ended although nobody closed it."""
        return self._failed

    def fail(self, reason: str) -> ConnectionError:
        """End it for this reason, unless it has ended; the error to raise."""
        with self._changed:
            if not self._ended and self._failed is None:
                self._failed = reason
                os.eventfd_write(self._wake, 1)
            return ConnectionError(self._failed or "the line to the agent is closed")

    def ask(self, kind: int, number: int, body: bytes = b"") -> bytes:
        """The answer to a command; one caller at a time.

        OSError with what the kernel there says, ConnectionError when the agent fails.
        """
        with self._changed:
            self._asked, self._answer = number, None
        self.write(agent.HEAD.pack(kind, number, len(body)) + body)
        with self._changed:
            self._changed.wait_for(
                lambda: self._answer is not None or self._ended, self._deadline_s
            )
            answer, self._asked = self._answer, None
        if answer is None:
            raise self.fail(f"it did not answer within {self._deadline_s:g} s")
        error, rest = self.checked(result, answer)
        if error:
            raise OSError(error, os.strerror(error))
        return rest

    def checked(self, meaning: Callable[[bytes], _Meaning], answer: bytes) -> _Meaning:
        """What an answer means; ConnectionError when it means nothing, which fails the line."""
        try:
            return meaning(answer)
        except MisbehaviourError as error:
            raise self.fail(str(error)) from None

    def write(self, data: bytes) -> None:
        """Raises ConnectionError when the agent does not read in time."""
        until, left = monotonic() + self._deadline_s, memoryview(data)
        while left:
            with self._writing:
                if self._ended:
                    raise self.fail("it ended")
                try:
                    left = left[os.write(self._commands.fileno(), left) :]
                except BlockingIOError:
                    _wait(self._commands.fileno(), select.POLLOUT)
                except (BrokenPipeError, ConnectionResetError):
                    with self._changed:  # the reader may know why
                        self._changed.wait_for(lambda: self._ended, self._deadline_s)
                    raise self.fail("it reads no commands") from None
            if left and monotonic() > until:
                raise self.fail(f"it read no commands for {self._deadline_s:g} s")

    def close(self) -> None:
        """Let the agent end, or leave it when it does not."""
        if self._closing:
            return
        self._closing = True
        with suppress(OSError):
            self.ask(agent.END, 0)
            self._reader.join(self._deadline_s)
        os.eventfd_write(self._wake, 1)
        self._reader.join()
        os.close(self._wake)

    def _read(self) -> None:
        """The reader's thread."""
        try:
            while data := self._receive():
                self._sort(data)
            if not self._closing:
                self.fail("it ended")
        except BaseException as error:
            self.fail(str(error) if isinstance(error, MisbehaviourError) else repr(error))
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._when_ended()
            with self._writing:
                self._output.close()
                self._commands.close()

    def _receive(self) -> bytes:
        """The next bytes; none when the agent or the line ended."""
        poll = select.poll()
        for descriptor in (self._output.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            if self._wake in dict(poll.poll()):
                return b""
            try:
                return os.read(self._output.fileno(), _CHUNK)
            except ConnectionResetError:  # a socket that was closed before it was read empty
                return b""
            except BlockingIOError:
                continue

    def _sort(self, data: bytes) -> None:
        """Hand out the records: what came before an answer is heard before it."""
        heard: list[Record] = []
        try:
            for record in self._parser.feed(data):
                if record.kind == agent.ANSWER:
                    self._heard(heard)
                    heard = []
                    self._take_answer(record)
                else:
                    heard.append(record)
        finally:
            self._heard(heard)

    def _take_answer(self, record: Record) -> None:
        with self._changed:
            if record.number != self._asked or self._answer is not None:
                raise MisbehaviourError("it answered what was not asked")
            self._answer = record.body
            self._changed.notify_all()


def _wait(descriptor: int, event: int) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll(_POLL_MS)

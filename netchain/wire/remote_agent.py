"""The near side of one agent: its ears and mouths, and what may be believed of them.

Beside what fails a line (`agent_line`): more frames than the agent may send, frames of an ear that
nobody opened, losses or outages that it takes back, and a clock that was set.

Times: frames are stamped by the qube's clock. How far that is ahead of ours is measured at the
start, to half of the time that the fastest of a few answers took, and taken off; within that time
both clocks count as the same.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from netchain.wire import agent
from netchain.wire.agent_line import Line, Stream
from netchain.wire.agent_records import MisbehaviourError, Record, Status, captured, count, status
from netchain.wire.capture import Captured, Store
from netchain.wire.hearing import DOWN, GONE

BATCH = 256
"""Frames that one call sends at most."""
_CLOCK_QUESTIONS = 3
_CLOCK_STEP_NS, _CLOCK_SLEW = 1_000_000, 0.001  # slewing adds at most 500 ppm (adjtime(3))
_LOAD = """import os
s = b""
while len(s) < {size}:
    d = os.read(0, {size} - len(s))
    assert d
    s += d
exec(compile(s, "agent", "exec"))"""


def program() -> tuple[tuple[str, ...], bytes]:
    """What to run in a qube, and the agent's source, which its input must begin with.

    (`python3 -I -` would take the whole of its input for the program.)
    """
    source = Path(agent.__file__).read_bytes()
    return ("python3", "-I", "-c", _LOAD.format(size=len(source))), source


@dataclass
class Ear:
    """One link that an agent hears, and what is known of it."""

    number: int
    link: str
    store: Store
    buffer: int = 0
    """Bytes of receive buffer that the kernel granted."""
    dead: str | None = None
    """Why it cannot be heard, as its agent told last; one that failed tells nothing."""
    gone: bool = False
    outages: int = 0
    lost: int = 0


class Agent:
    """One agent. It takes the streams over. Every method may be called from any thread."""

    def __init__(
        self,
        output: Stream,
        commands: Stream,
        source: bytes = b"",
        limit: int = 512 << 20,
        deadline_s: float = 20.0,
    ) -> None:
        """Speak to the agent at the other end, once it has read its `source`.

        It may send `limit` bytes of frames until the next `renew`; each answer, and the first word,
        must come within `deadline_s` seconds. Raises ConnectionError when it fails.
        """
        self._window, self._limit, self._received = limit, limit, 0
        self._ears: dict[int, Ear] = {}
        self._numbers = 0
        self._offset_ns = 0
        self._first: Status | None = None
        self._lock = RLock()
        self._line = Line(output, commands, self._heard, self._ended, deadline_s)
        try:
            self._line.write(source)
            self._read_clocks()
        except BaseException:
            self._line.close()
            raise

    @property
    def failed(self) -> str | None:
        """Why it is heard no more although nobody closed it."""
        return self._line.failed

    def hear(self, link: str, interface: str, store: Store) -> Ear:
        """Fill the store with the frames of an interface of the qube, all from now on.

        OSError as the kernel there says (ENODEV, EPERM), ConnectionError when the agent failed.
        """
        with self._lock:
            ear = Ear(self._number(), link, store)
            store.open(link)
            self._ears[ear.number] = ear
            try:
                answer = self._line.ask(agent.HEAR, ear.number, interface.encode())
                ear.buffer = self._line.checked(count, answer)
            except OSError:
                del self._ears[ear.number]
                store.end(link)
                raise
            return ear

    def speak(self, interface: str) -> int:
        """Be able to send out of an interface of the qube; the mouth's number. OSError as above."""
        with self._lock:
            number = self._number()
            self._line.ask(agent.SPEAK, number, interface.encode())
            return number

    def send(self, mouth: int, frames: Sequence[bytes]) -> int:
        """Send the first of the frames, as many as one call takes; how many. OSError if the first
        one cannot be sent."""
        pieces: list[bytes] = []
        room = agent.MAX_BODY
        for frame in frames[:BATCH]:
            room -= agent.LENGTH.size + len(frame)
            if room < 0:
                break
            pieces.append(agent.LENGTH.pack(len(frame)) + frame)
        if not pieces:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        with self._lock:
            answer = self._line.ask(agent.SEND, mouth, b"".join(pieces))
            sent = self._line.checked(count, answer)
            if not 0 < sent <= len(pieces):
                raise self._line.fail(f"it says that it sent {sent} frames of {len(pieces)}")
            return sent

    def forget(self, number: int) -> None:
        """Close an ear, of which what waits there is still stored, or a mouth. OSError as above."""
        with self._lock:
            self._note(self._line.checked(status, self._line.ask(agent.FORGET, number)))
            self._ears.pop(number, None)

    def refresh(self) -> None:
        """Ask what became of the ears. Nothing when it failed: that shows on them, too."""
        with self._lock, suppress(ConnectionError):
            self._note(self._status())

    def renew(self) -> None:
        """What it sent so far has been taken: it may send as much as at the start again."""
        with self._lock:
            self._limit = self._received + self._window
            self.refresh()

    def close(self) -> None:
        """Let it end, after a last `refresh`."""
        self.refresh()
        self._line.close()

    def _number(self) -> int:
        self._numbers += 1
        if self._numbers > 0xFFFF:
            raise OSError("the agent has no more numbers for its ends")
        return self._numbers

    def _status(self) -> Status:
        """STATUS, which an agent that is no liar never refuses."""
        try:
            answer = self._line.ask(agent.STATUS, 0, agent.LIMIT.pack(self._limit))
        except ConnectionError:
            raise
        except OSError as error:
            raise self._line.fail(f"it tells no state: {error}") from None
        return self._line.checked(status, answer)

    def _read_clocks(self) -> None:
        """Measure how far the qube's clock is ahead; armed is nothing yet."""
        fastest_ns = None
        for _ in range(_CLOCK_QUESTIONS):
            before_ns = time.time_ns()
            told = self._status()
            after_ns = time.time_ns()
            if fastest_ns is None or after_ns - before_ns < fastest_ns:
                fastest_ns = after_ns - before_ns
                ahead_ns = told.real_ns - (before_ns + after_ns) // 2
                self._offset_ns = ahead_ns if abs(ahead_ns) > fastest_ns else 0
            self._note(told)

    def _note(self, told: Status) -> None:
        """Believe a status that fits what was told before."""
        first = self._first = self._first or told
        steady_ns = told.steady_ns - first.steady_ns
        if abs(told.real_ns - first.real_ns - steady_ns) > _CLOCK_STEP_NS + _CLOCK_SLEW * steady_ns:
            raise self._line.fail("the clock of its qube was set")
        if [ear.number for ear in told.ears] != list(self._ears):
            raise self._line.fail("it tells the state of other ears")
        for now in told.ears:
            ear = self._ears[now.number]
            if now.outages < ear.outages or now.lost < ear.lost:
                raise self._line.fail("it takes back what was lost")
            ear.outages, ear.lost = now.outages, now.lost
            if now.state != agent.ENDED:
                ear.dead = DOWN if now.state == agent.DOWN else None
            else:
                ear.dead = GONE if now.error == errno.ENETDOWN else os.strerror(now.error)

    def _heard(self, records: Sequence[Record]) -> None:
        """Store the frames, those of one ear at once."""
        batches: dict[int, list[Captured]] = {}
        try:
            for record in records:
                ear = self._ears.get(record.number)
                if ear is None or ear.gone:
                    raise MisbehaviourError("it sent something of an ear that is not open")
                batch = batches.setdefault(ear.number, [])
                if record.kind == agent.GONE:
                    ear.gone = True
                    continue
                self._received += record.size
                if self._received > self._limit:
                    raise MisbehaviourError("it sent more than it may")
                batch.append(captured(record.body, ear.link, self._offset_ns))
        finally:
            for number, batch in batches.items():
                self._keep(self._ears[number], batch)

    def _keep(self, ear: Ear, batch: list[Captured]) -> None:
        ear.store.add(ear.link, batch)
        if ear.gone:
            ear.store.end(ear.link)
        else:
            ear.store.wake()

    def _ended(self) -> None:
        for ear in list(self._ears.values()):
            ear.store.end(ear.link)

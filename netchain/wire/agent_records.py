"""Reads what an agent sends, and believes none of it (pure).

An agent runs where the enemy may be: bytes that the protocol (`agent`) does not allow raise
`MisbehaviourError`, which ends it. What is kept of an unfinished record is bounded by the longest
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netchain.wire import agent
from netchain.wire.capture import Captured
from netchain.wire.flow import LinkType

_BODIES = {
    agent.FRAME: range(agent.FRAME_HEAD.size, agent.MAX_BODY + 1),
    agent.GONE: range(1),
    agent.ANSWER: range(agent.RESULT.size, agent.MAX_BODY + 1),
}
"""The lengths that the body of each kind of record may have."""
_MAX_ERRNO = 4095
_MAX_TIME_NS = (1 << 32) * 1_000_000_000
"""Of 2106: as far as a pcap file reaches."""


class MisbehaviourError(ValueError):
    """What no honest agent sends."""


class Record(NamedTuple):
    """One record whose head fits the protocol."""

    kind: int
    number: int
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of it on the stream."""
        return agent.HEAD.size + len(self.body)


class Ear(NamedTuple):
    """What STATUS tells of one ear."""

    number: int
    state: int
    error: int
    outages: int
    lost: int


class Status(NamedTuple):
    """What STATUS tells: both clocks in ns, and the ears."""

    real_ns: int
    steady_ns: int
    ears: tuple[Ear, ...]


class Parser:
    """Cuts the stream into records, however it arrives."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._greeting = agent.GREETING

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are complete by now; MisbehaviourError behind the last good one."""
        greeting, rest = data[: len(self._greeting)], data[len(self._greeting) :]
        if not self._greeting.startswith(greeting):
            raise MisbehaviourError("it did not greet as an agent does")
        self._greeting = self._greeting[len(greeting) :]
        self._data += rest
        start = 0
        try:
            while len(self._data) - start >= agent.HEAD.size:
                kind, number, length = agent.HEAD.unpack_from(self._data, start)
                if length not in _BODIES.get(kind, ()):
                    raise MisbehaviourError(f"it sent {length} bytes of kind {kind}")
                body = start + agent.HEAD.size
                if len(self._data) < body + length:
                    break
                start = body + length
                yield Record(kind, number, bytes(self._data[body:start]))
        finally:
            del self._data[:start]


def captured(body: bytes, link: str, offset_ns: int) -> Captured:
    """The frame of a FRAME record, whose clock is `offset_ns` ahead of ours."""
    flags, time_ns = agent.FRAME_HEAD.unpack_from(body)
    here_ns = time_ns - offset_ns
    if flags & ~(agent.OUTGOING | agent.TRUNCATED | agent.RAW_IP):
        raise MisbehaviourError(f"it sent a frame with the flags {flags}")
    if not 0 <= here_ns < _MAX_TIME_NS:
        raise MisbehaviourError("it sent a frame of no time")
    return Captured(
        link,
        here_ns,
        flags & agent.OUTGOING != 0,
        body[agent.FRAME_HEAD.size :],
        flags & agent.TRUNCATED != 0,
        LinkType.RAW_IP if flags & agent.RAW_IP else LinkType.ETHERNET,
    )


def result(answer: bytes) -> tuple[int, bytes]:
    """The errno that an answer begins with, and the rest of it."""
    (error,) = agent.RESULT.unpack_from(answer)
    if error > _MAX_ERRNO:
        raise MisbehaviourError(f"it answered with the error {error}")
    return error, answer[agent.RESULT.size :]


def count(answer: bytes) -> int:
    """The one number of an answer."""
    if len(answer) != agent.LENGTH.size:
        raise MisbehaviourError("it answered something else")
    (number,) = agent.LENGTH.unpack(answer)
    return int(number)


def status(answer: bytes) -> Status:
    """The answer to STATUS and FORGET."""
    if len(answer) < agent.CLOCKS.size or (len(answer) - agent.CLOCKS.size) % agent.EAR.size:
        raise MisbehaviourError("it answered something else")
    real_ns, steady_ns = agent.CLOCKS.unpack_from(answer)
    ears = tuple(map(Ear._make, agent.EAR.iter_unpack(answer[agent.CLOCKS.size :])))
    for ear in ears:
        if ear.state not in (agent.UP, agent.DOWN, agent.ENDED) or ear.error > _MAX_ERRNO:
            raise MisbehaviourError(f"it answered with the state {ear.state}, error {ear.error}")
    return Status(real_ns, steady_ns, ears)

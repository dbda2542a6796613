"""What is read of an agent: nothing that the protocol does not allow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from liars import encoded, frame_body

from netchain.wire import agent, agent_records
from netchain.wire.agent_records import MisbehaviourError, Parser, Record

KINDS = (agent.FRAME, agent.GONE, agent.ANSWER)

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

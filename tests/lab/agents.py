"""Agents started as in a qube: from their source, on the standard library."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pairs import DEADLINE_S

from netchain.wire import agent
from netchain.wire.agent_records import Parser, Record
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap


def start() -> subprocess.Popen[bytes]:
    argv, source = program()
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    process.stdin.write(source)
    return process


@contextmanager
def started(limit: int = 512 << 20) -> Iterator[tuple[Agent, subprocess.Popen[bytes]]]:
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        yield Agent(process.stdout, process.stdin, limit=limit), process
        process.wait(DEADLINE_S)


@contextmanager
def listening(*interfaces: str, limit: int = 512 << 20) -> Iterator[RemoteTap]:
    """A remote tap of an agent that hears and sends at these interfaces; clean at its end."""
    with started(limit) as (heard, process):
        with RemoteTap() as tap:
            for name in interfaces:
                tap.add(name, RemoteEnd(heard, name), RemoteEnd(heard, name))
            yield tap
        assert tap.failed is None
        assert process.wait(DEADLINE_S) == 0


def command(kind: int, number: int, body: bytes) -> bytes:
    return agent.HEAD.pack(kind, number, len(body)) + body


def read_until(output: int, parser: Parser, answers: int, chunk: int = 1 << 16) -> list[Record]:
    """The records up to so many answers."""
    records: list[Record] = []
    while sum(record.kind == agent.ANSWER for record in records) < answers:
        data = os.read(output, chunk)
        assert data
        records += parser.feed(data)
    return records

"""The agent on real links: what it does not hear is counted.

Each scenario runs in network namespaces of its own (pairs.py), with an agent of agents.py.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
from agents import command, listening, read_until, start, started
from pairs import DEADLINE_S, HEAD, pair, run_alone

from netchain.wire import agent, agent_records
from netchain.wire.agent_records import Parser
from netchain.wire.remote_tap import RemoteEnd, RemoteTap
from netchain.wire.tap import Tap, open_inject_socket, open_packet_socket

pytestmark = pytest.mark.lab


def slow_reader() -> None:
    """A reader that stops: the agent goes on to hear, keeps 8 MiB, and counts every other frame;
    its commands may come in pieces, and its records be read so."""
    pair("a0", "b0")
    frame = HEAD + bytes(1400)
    sender = open_inject_socket("a0")
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        output, parser = process.stdout.fileno(), Parser()
        orders = command(agent.STATUS, 0, agent.LIMIT.pack(1 << 40))
        for byte in orders + command(agent.HEAR, 1, b"b0"):
            process.stdin.write(bytes([byte]))
        assert len(read_until(output, parser, 2, chunk=1)) == 2
        for _ in range(20_000):
            sender.send(frame)
        until = monotonic() + DEADLINE_S
        while waiting():
            assert monotonic() < until
        heard, told = [], 0
        while sum(heard) + told < 20_000:  # some may have been on their way to the buffer
            assert monotonic() < until
            process.stdin.write(command(agent.STATUS, 0, agent.LIMIT.pack(1 << 40)))
            *frames, answer = read_until(output, parser, 1)
            heard.append(len(frames))
            (ear,) = agent_records.status(agent_records.result(answer.body)[1]).ears
            told = ear.lost
        assert sum(heard) + told == 20_000
        assert agent.QUEUE * 0.9 < len(frame) * heard[0] < agent.QUEUE + (1 << 20)
        assert peak_memory(process.pid) < 64 << 20
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    sender.close()


def waiting() -> bool:
    """Whether frames wait in the buffer of any packet socket here."""
    _, *lines = Path("/proc/net/packet").read_text().splitlines()
    return any(int(line.split()[6]) for line in lines)


def peak_memory(pid: int) -> int:
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) * 1024


def bound() -> None:
    """Frames beyond the limit are counted, until what was sent is taken."""
    pair("a0", "b0")
    size = agent.HEAD.size + agent.FRAME_HEAD.size + len(HEAD)
    with listening("b0", limit=10 * size) as tap:
        for round_ in range(1, 4):
            for _ in range(15):
                tap.inject("b0", HEAD)
            until = monotonic() + DEADLINE_S
            while tap.drops()["b0"] < 5 * round_:
                assert monotonic() < until
            assert len(tap.take()["b0"]) == 10
        assert tap.drops() == {"b0": 15}
        tap.remove("b0")
        assert tap.drops() == {"b0": 15}  # what was lost stays so


def removed() -> None:
    """What was heard before a link was removed is stored or counted, however much waits."""
    pair("a0", "b0")
    with started() as (heard, process), RemoteTap() as tap:
        with Tap({"b0": open_packet_socket("b0")}, {"b0": open_inject_socket("a0")}) as witness:
            tap.add("b0", RemoteEnd(heard, "b0"))
            process.send_signal(signal.SIGSTOP)
            for number in range(5000):
                witness.inject("b0", HEAD + b"%d!" % number)
            assert not witness.wait_for(b"4999!", ["b0"], DEADLINE_S)
        process.send_signal(signal.SIGCONT)
        tap.remove("b0")
        assert len(tap.frames("b0")) + tap.drops()["b0"] == 5000
        assert len(tap.frames("b0")) > 2000 and tap.failed is None and not tap.dead


SCENARIOS: list[Callable[[], None]] = [slow_reader, bound, removed]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_agent_counts(scenario: Callable[[], None]) -> None:
    run_alone(__file__, scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

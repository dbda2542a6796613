"""The agent on real links: what is gone or refused shows at once, and an agent without a tap ends.

Each scenario runs in network namespaces of its own (pairs.py), with an agent of agents.py.
"""

import signal
import subprocess
import sys
from collections.abc import Callable
from time import monotonic

import pytest
from agents import command, listening, read_until, start, started
from pairs import DEADLINE_S, HEAD, ip, pair, run_alone

from netchain.wire import agent
from netchain.wire.agent_records import Parser
from netchain.wire.remote_agent import Agent
from netchain.wire.remote_tap import RemoteEnd, RemoteTap
from netchain.wire.tap import open_inject_socket

pytestmark = pytest.mark.lab


def gone() -> None:
    """A deleted interface is dead at once, one that is down until its next frame; others live."""
    for number in range(3):
        pair(f"a{number}", f"b{number}")
    with started() as (heard, _), RemoteTap() as tap:
        for name in ("b0", "b1", "b2"):
            tap.add(name, RemoteEnd(heard, name), RemoteEnd(heard, name))
        ip("link del b0", "link set b1 down")
        start = monotonic()
        assert tap.wait_for(b"never", ["b0"], DEADLINE_S) == {"b0"}
        assert monotonic() - start < DEADLINE_S / 2
        tap.inject("b2", HEAD + b"others")
        assert not tap.wait_for(b"others", ["b2"], DEADLINE_S)
        assert tap.dead == {"b0": "the interface is gone", "b1": "the interface is down"}
        with pytest.raises(OSError, match="Network is down"):
            tap.inject("b1", HEAD)
        ip("link set b1 up")
        tap.inject("b1", HEAD + b"back")
        assert not tap.wait_for(b"back", ["b1"], DEADLINE_S)
        assert tap.dead == {"b0": "the interface is gone"}
        assert tap.outages == {"b0": 1, "b1": 1, "b2": 0}
        ip("link set b1 down", "link del b1")
        assert tap.wait_for(b"never", ["b1"], DEADLINE_S) == {"b1"}
        ip("link set b2 down")
        while "b2" not in tap.dead:
            assert monotonic() - start < DEADLINE_S
        tap.remove("b2")
        tap.remove("b0")
        assert tap.dead == {"b1": "the interface is gone"} and tap.failed is None
        pair("a0", "b0")
        tap.add("b0", RemoteEnd(heard, "b0"), RemoteEnd(heard, "b0"))
        tap.inject("b0", HEAD + b"anew")
        assert not tap.wait_for(b"anew", ["b0"], DEADLINE_S)


def killed() -> None:
    """An agent that is killed while it hears: it fails the tap, nobody waits, nothing is clean."""
    pair("a0", "b0")
    sender = open_inject_socket("a0")
    with started() as (heard, process):
        tap = RemoteTap()
        tap.add("b0", RemoteEnd(heard, "b0"), RemoteEnd(heard, "b0"))
        sender.send(HEAD + b"before")
        assert not tap.wait_for(b"before", ["b0"], DEADLINE_S)
        for _ in range(1000):
            sender.send(HEAD + bytes(1000))
        process.send_signal(signal.SIGKILL)
        start = monotonic()
        assert tap.wait_for(b"never", ["b0"], DEADLINE_S) == {"b0"}
        assert monotonic() - start < DEADLINE_S / 2
        assert tap.drops() == {"b0": 0}  # that it knows of
        with pytest.raises(ConnectionError, match="it ended"):
            tap.inject("b0", HEAD)
        with pytest.raises(ConnectionError, match="it ended"):
            tap.add("b1", RemoteEnd(heard, "b0"))
        tap.remove("b0")
        tap.close()
        assert tap.failed == "an agent failed: it ended"
    sender.close()


def stopped() -> None:
    """An agent that is stopped (SIGSTOP) answers nothing: that fails the tap in time, too."""
    pair("a0", "b0")
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        tap = RemoteTap()
        heard = Agent(process.stdout, process.stdin, deadline_s=2)
        tap.add("b0", RemoteEnd(heard, "b0"))
        process.send_signal(signal.SIGSTOP)
        assert tap.outages == {"b0": 0}
        assert tap.dead == {"b0": "its agent failed: it did not answer within 2 s"}
        tap.close()
        process.send_signal(signal.SIGCONT)
        assert process.wait(DEADLINE_S) != 0  # its streams are closed


def garbage() -> None:
    """A program that is no agent and writes without end: it is left at once, and ends."""
    for said in (b"", agent.GREETING):
        script = f"import os\nwhile True: os.write(1, {said!r} + bytes(65536))"
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, bufsize=0,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            reason = "it did not greet as an agent does|it sent 0 bytes of kind 0"
            with pytest.raises(ConnectionError, match=reason):
                Agent(process.stdout, process.stdin)
            assert process.wait(DEADLINE_S) != 0


def orphaned() -> None:
    """An agent whose near side is gone ends, also one that has much to say."""
    pair("a0", "b0")
    sender = open_inject_socket("a0")
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        orders = command(agent.STATUS, 0, agent.LIMIT.pack(1 << 40))
        process.stdin.write(orders + command(agent.HEAR, 1, b"b0"))
        read_until(process.stdout.fileno(), Parser(), 2)
        for _ in range(1000):
            sender.send(HEAD + bytes(1400))
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    sender.close()


def refused() -> None:
    """What cannot be opened or sent is an error, and the agent goes on."""
    pair("a0", "b0")
    with listening("a0", "b0") as tap:
        heard, _ = tap._ears["a0"]
        with pytest.raises(OSError, match="No such device"):
            tap.add("c0", RemoteEnd(heard, "nowhere"))
        with pytest.raises(OSError, match="No such device"):
            tap.injectors.add("c0", RemoteEnd(heard, "nowhere"))
        with pytest.raises(ValueError, match="tapped already"):
            tap.add("a0", RemoteEnd(heard, "a0"))
        with pytest.raises(KeyError):
            tap.inject("c0", HEAD)
        with pytest.raises(OSError, match="Message too long"):
            tap.inject("a0", HEAD + bytes(9000))
        good, bad = HEAD + b"good", HEAD + bytes(9000)
        assert tap.injectors.send_all("a0", [good, good, bad, good]) == 2
        assert not tap.wait_for(b"good", ["a0", "b0"], DEADLINE_S)
        assert "c0" not in tap.dead


SCENARIOS: list[Callable[[], None]] = [gone, killed, stopped, garbage, orphaned, refused]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_agent_fails(scenario: Callable[[], None]) -> None:
    run_alone(__file__, scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

"""The agent on real links: it hears what a tap hears.

Each scenario runs in network namespaces of its own (pairs.py), with an agent of agents.py. Not
covered: qrexec and virtio-serial themselves, a qube's own clock (tests/unit/test_remote_tap.py),
whole chains (test_agent_prove.py).
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import pytest
from agents import listening, started
from pairs import DEADLINE_S, HEAD, ip, pair, run_alone

from netchain.wire import agent, agent_records
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap
from netchain.wire.tap import Tap, open_inject_socket, open_packet_socket

pytestmark = pytest.mark.lab


def same() -> None:
    """The agent, on one socket, hears what a tap hears: frames, times, directions, tags, kinds of
    links, and what is larger than any wire takes."""
    pair("a0", "b0")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))  # TUNSETIFF
    ip("link set lo up", "link set tun0 up", "address add 192.0.2.1/24 dev tun0")
    names = ["a0", "b0", "lo", "tun0"]
    double = HEAD[:12] + bytes.fromhex("88a80007 81002064 88b5") + b"double"
    single = HEAD[:12] + bytes.fromhex("8100e005 88b5") + b"single"
    argv, source = program()
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(argv, stdin=theirs, stdout=theirs)
    heard = Agent(ours, ours, source)
    with Tap({name: open_packet_socket(name) for name in names}) as tap, RemoteTap() as remote:
        for name in names:
            remote.add(name, RemoteEnd(heard, name))
        remote.injectors.add("a0", RemoteEnd(heard, "a0"))
        for frame in (double, single, HEAD + bytes(range(200)), HEAD):
            remote.inject("a0", frame)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(60000) + b"large", ("127.0.0.1", 53))
            sender.sendto(b"over the tunnel the end", ("192.0.2.2", 53))
            sender.sendto(b"the end", ("127.0.0.1", 53))
        remote.inject("a0", HEAD + b"the end")
        for one in (tap, remote):
            assert not one.wait_for(b"the end", names, DEADLINE_S)
        for name in names:
            assert remote.frames(name) == tap.frames(name)
        assert [seen.frame for seen in remote.frames("b0")][:2] == [double, single]
        assert {(seen.link, seen.outgoing) for seen in remote.frames()} == {
            ("a0", True), ("b0", False), ("lo", True), ("lo", False), ("tun0", True),
        }  # fmt: skip
        assert not any(remote.drops().values()) and not remote.dead
    assert remote.failed is None
    assert process.wait(DEADLINE_S) == 0
    os.close(device)


def armed() -> None:
    """A frame that is sent as soon as the link was added is heard, and none from before."""
    pair("a0", "b0")
    sender = open_inject_socket("a0")
    with started() as (heard, _), RemoteTap() as tap:
        for number in range(50):
            sender.send(HEAD + b"before %d" % number)
            tap.add("b0", RemoteEnd(heard, "b0"))
            sender.send(HEAD + b"after %d" % number)
            assert not tap.wait_for(b"after %d" % number, ["b0"], DEADLINE_S)
            tap.remove("b0")
        assert [seen.frame for seen in tap.frames("b0")] == [
            HEAD + b"after %d" % number for number in range(50)
        ]
        assert tap.failed is None
    sender.close()


def truncated() -> None:
    """A frame that is larger than the agent's buffer (no link here carries one) is marked so."""
    pair("a0", "b0")
    ear = agent.Ear(1, "b0")
    with open_inject_socket("a0") as sender:
        sender.send(HEAD + bytes(100))
        sender.send(HEAD)
    bodies: list[bytes] = []
    until = monotonic() + DEADLINE_S
    while len(bodies) < 2:
        assert monotonic() < until
        with suppress(BlockingIOError):
            bodies.append(ear.receive(bytearray(50)))
    heard = [agent_records.captured(body, "b0", 0) for body in bodies]
    assert [(len(seen.frame), seen.truncated) for seen in heard] == [(50, True), (14, False)]
    ear.socket.close()


def flood() -> None:
    """20,000 frames, sent and heard by one agent: all, once, in order."""
    pair("a0", "b0")
    sent = [HEAD + struct.pack("!I", number) + bytes(60) for number in range(20_000)]
    with listening("a0", "b0") as tap:
        assert tap.buffers()["b0"] > 0
        burst = min(tap.buffers().values()) // 2048  # never more than the smallest buffers hold
        start = monotonic()
        at = waited = 0
        while at < len(sent):
            at += tap.injectors.send_all("a0", sent[at : at + min(burst, 256)])
            if at - waited > burst:
                waited = at
                assert not tap.wait_for(sent[at - 1], ["a0", "b0"], DEADLINE_S)
        assert not tap.wait_for(sent[-1], ["a0", "b0"], DEADLINE_S)
        print(f"{len(sent) / (monotonic() - start):.0f} frames/s sent, and heard at both ends")
        for end in ("a0", "b0"):
            assert [seen.frame for seen in tap.frames(end)] == sent
            times = [seen.time_ns for seen in tap.frames(end)]
            assert times == sorted(times)
        assert tap.drops() == {"a0": 0, "b0": 0} and not tap.dead


SCENARIOS: list[Callable[[], None]] = [same, armed, truncated, flood]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_agent_hears(scenario: Callable[[], None]) -> None:
    run_alone(__file__, scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

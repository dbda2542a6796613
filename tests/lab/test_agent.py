"""The agent on real links: it hears what a tap hears, and what it did not hear shows.

Each scenario runs in network namespaces of its own (pairs.py), with the agent started as in a qube:
from its source, on the standard library. Not covered: qrexec and virtio-serial themselves, a
qube's own clock (tests/unit/test_remote_tap.py), whole chains (test_agent_prove.py).
"""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest
from pairs import DEADLINE_S, HEAD, ip, pair, run_alone

from netchain.wire import agent, agent_records
from netchain.wire.agent_records import Parser, Record
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap
from netchain.wire.tap import Tap, open_inject_socket, open_packet_socket

pytestmark = pytest.mark.lab


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


SCENARIOS: list[Callable[[], None]] = [
    same, armed, truncated, flood, slow_reader, bound, gone, removed, killed, stopped, garbage,
    orphaned, refused,
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_agent(scenario: Callable[[], None]) -> None:
    run_alone(__file__, scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

"""The tap on real links: nothing is lost, nothing is heard wrongly, and deafness shows.

Each scenario runs in network namespaces of its own (pairs.py). Not covered: network cards and their
offloads, and segments larger than a tap can hold.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from time import monotonic, time_ns

import pytest
from pairs import DEADLINE_S, HEAD, ip, pair, run_alone

from netchain.wire.capture import FRAME_OVERHEAD
from netchain.wire.decode import decode
from netchain.wire.flow import LinkType
from netchain.wire.receiver import Receiver
from netchain.wire.tap import Tap, open_inject_socket, open_packet_socket

pytestmark = pytest.mark.lab


def listen(*interfaces: str, **options: int) -> Tap:
    """A tap on both ends of links, a0 and b0 and so on, that injects at the same end."""
    return Tap(
        {name: open_packet_socket(name) for name in interfaces},
        {name: open_inject_socket(name) for name in interfaces},
        **options,
    )


def flood() -> None:
    """24,000 frames over four links, heard at both ends: all, once, in order."""
    names = [(f"a{n}", f"b{n}") for n in range(4)]
    for near, far in names:
        pair(near, far)
    ends = [end for names_of_link in names for end in names_of_link]
    probe = open_packet_socket("a0")
    burst = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2048
    probe.close()
    start = time_ns()
    with listen(*ends) as tap:
        for number in range(6000):
            for near, _ in names:
                tap.inject(near, HEAD + struct.pack("!I", number) + bytes(60))
            if number % burst == burst - 1:  # never more than the smallest buffers hold
                canary(tap, names, b"canary %d" % number)
        canary(tap, names, b"the last")
        for near, far in names:
            for end in (near, far):
                frames = [c for c in tap.frames(end) if b"canary" not in c.frame][:-1]
                assert [struct.unpack_from("!I", c.frame, 14)[0] for c in frames] == [*range(6000)]
                assert {(c.link, c.outgoing, c.truncated) for c in frames} == {
                    (end, end == near, False)
                }
                times = [captured.time_ns for captured in frames]
                assert start <= times[0] and times[-1] <= time_ns() and times == sorted(times)
        assert not any(tap.drops().values()) and not tap.dead and tap.failed is None
        together = tap.frames()
        assert len(together) == sum(len(tap.frames(end)) for end in ends)
        assert together == sorted(together, key=lambda captured: captured.time_ns)


def canary(tap: Tap, names: list[tuple[str, str]], token: bytes) -> None:
    for near, far in names:
        mark = tap.mark()
        tap.inject(near, HEAD + token)
        assert tap.wait_for(token, [near, far], DEADLINE_S, mark) == frozenset()


def tags() -> None:
    """A tag that the kernel keeps beside the frame is back in its place, at both ends."""
    pair("a0", "b0")
    double = HEAD[:12] + bytes.fromhex("88a80007 81002064 88b5") + b"double"
    single = HEAD[:12] + bytes.fromhex("8100e005 88b5") + b"single"
    with listen("a0", "b0") as tap:
        for frame in (double, single, HEAD + b"the end"):
            tap.inject("a0", frame)
        assert not tap.wait_for(b"the end", ["a0", "b0"], DEADLINE_S)
        for end in ("a0", "b0"):
            assert [captured.frame for captured in tap.frames(end)][:2] == [double, single]
            assert [decode(captured.frame).vlan for captured in tap.frames(end)] == [
                (7, 100), (5,), (),
            ]  # fmt: skip


def drops() -> None:
    """A buffer that is too small shows: each frame is either stored or counted."""
    pair("a0", "b0")
    with Tap({"b0": open_packet_socket("b0", receive_buffer=2304)}) as tap:
        sender = open_inject_socket("a0")
        sent, until = 0, monotonic() + DEADLINE_S
        while not tap.drops()["b0"] and monotonic() < until:
            for _ in range(1000):
                sender.send(HEAD + bytes(1400))
            sent += 1000
        sender.close()
    assert tap.drops()["b0"] > 0
    assert len(tap.frames("b0")) + tap.drops()["b0"] == sent


def memory() -> None:
    """Frames beyond the memory limit count as lost; `take` makes room, and keeps all it took."""
    pair("a0", "b0")
    frame = HEAD + bytes(86)
    with listen("b0", memory_limit=(len(frame) + FRAME_OVERHEAD) * 10) as tap:
        for number in range(12):
            tap.inject("b0", frame)
            if number < 10:
                assert not tap.wait_for(lambda _: len(tap.frames()) > number, ["b0"], DEADLINE_S)  # noqa: B023
        until = monotonic() + DEADLINE_S
        while tap.drops()["b0"] < 2 and monotonic() < until:
            os.sched_yield()
        assert (tap.drops()["b0"], len(tap.frames("b0"))) == (2, 10)
        assert len(tap.take()["b0"]) == 10
        assert tap.frames() == []
        mark = tap.mark()
        tap.inject("b0", HEAD + b"again")
        assert not tap.wait_for(b"again", ["b0"], DEADLINE_S, mark)
        assert len(tap.frames()) == 1


def gone() -> None:
    """A deleted interface is dead at once, one that is down until its next frame; others live."""
    for number in range(3):
        pair(f"a{number}", f"b{number}")
    with listen("b0", "b1", "b2") as tap:
        ip("link del b0", "link set b1 down")
        start = monotonic()
        assert tap.wait_for(b"never", ["b0"], DEADLINE_S) == {"b0"}
        assert monotonic() - start < DEADLINE_S / 2
        assert tap.dead["b0"] == "the interface is gone"
        tap.inject("b2", HEAD + b"others")
        assert not tap.wait_for(b"others", ["b2"], DEADLINE_S)
        assert tap.dead == {"b0": "the interface is gone", "b1": "the interface is down"}
        ip("link set b1 up")
        tap.inject("b1", HEAD + b"back")
        assert not tap.wait_for(b"back", ["b1"], DEADLINE_S)
        assert tap.dead == {"b0": "the interface is gone"}
        assert tap.outages == {"b0": 1, "b1": 1, "b2": 0}
        tap.remove("b0")
        assert not tap.dead and tap.failed is None
        pair("a0", "b0")
        tap.add("b0", open_packet_socket("b0"), open_inject_socket("b0"))
        tap.inject("b0", HEAD + b"anew")
        assert not tap.wait_for(b"anew", ["b0"], DEADLINE_S)


def failure() -> None:
    """A reader that ends says why, and nobody waits for it."""
    pair("a0", "b0")

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    with listen("b0") as tap:
        Receiver.receive = broken  # type: ignore[assignment, method-assign]
        tap.inject("b0", HEAD)
        start = monotonic()
        assert tap.wait_for(b"", ["b0"], DEADLINE_S) == {"b0"}
        assert monotonic() - start < DEADLINE_S / 2
        assert tap.failed == "RuntimeError: broken"


def handed_over() -> None:
    """A socket opened in another namespace, handed over, and that namespace's process gone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    command = ["unshare", "--net", sys.executable, __file__, "opener", str(theirs.fileno())]
    with ours, theirs:
        subprocess.run(command, pass_fds=[theirs.fileno()], check=True)
        _, handed, _, _ = socket.recv_fds(ours, 1, 2)
    opened, sender = (socket.socket(fileno=descriptor) for descriptor in handed)
    with Tap({"b0": opened}, {"b0": sender}) as tap:
        tap.inject("b0", HEAD + b"from afar")
        assert not tap.wait_for(b"from afar", ["b0"], DEADLINE_S)


def opener() -> None:
    pair("a0", "b0")
    with socket.socket(fileno=int(sys.argv[2])) as channel:
        sockets = [open_packet_socket("b0"), open_inject_socket("a0")]
        socket.send_fds(channel, [b"x"], [sock.fileno() for sock in sockets])
    for sock in sockets:
        sock.close()


def link_types() -> None:
    """Raw IP on a tun device; on loopback a datagram that is larger than any wire takes."""
    ip("link set lo up")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))  # TUNSETIFF
    ip("link set tun0 up", "address add 192.0.2.1/24 dev tun0")
    with listen("tun0", "lo") as tap, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"over the tunnel", ("192.0.2.2", 53))
        sender.sendto(bytes(60000) + b"large", ("127.0.0.1", 53))
        assert not tap.wait_for(b"over the tunnel", ["tun0"], DEADLINE_S)
        assert not tap.wait_for(b"large", ["lo"], DEADLINE_S)
        raw = next(c for c in tap.frames("tun0") if b"over the tunnel" in c.frame)
        assert (raw.link_type, raw.outgoing) == (LinkType.RAW_IP, True)
        assert decode(raw.frame, raw.link_type).dport == 53
        large = tap.frames("lo")[0]
        assert not large.truncated
        assert len(decode(large.frame, large.link_type).payload) == 60005
    os.close(device)


def blind_spots() -> None:
    """What the kernel does not tell the sender's own end, the far end hears."""
    pair("a0", "b0")
    near, far = open_packet_socket("a0"), open_packet_socket("b0")
    bypass = open_inject_socket("a0")
    bypass.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
    near.send(HEAD + b"through the tap's own socket")
    bypass.send(HEAD + b"past the queue")
    with Tap({"a0": near, "b0": far}, {"a0": open_inject_socket("a0")}) as tap:
        tap.inject("a0", HEAD + b"the end")
        assert not tap.wait_for(b"the end", ["a0", "b0"], DEADLINE_S)
        assert [len(tap.frames(end)) for end in ("a0", "b0")] == [1, 3]
    bypass.close()


def refused() -> None:
    """What the tap could not read it does not take."""
    pair("a0", "b0")
    with listen("a0") as tap, open_inject_socket("b0") as plain:
        with pytest.raises(ValueError, match="not made by open_packet_socket"):
            tap.add("b0", plain)
        with open_packet_socket("b0") as twice, pytest.raises(ValueError, match="tapped already"):
            tap.add("a0", twice)
        with pytest.raises(KeyError):
            tap.wait_for(b"", ["b0"], 0)
    with pytest.raises(OSError, match="No such device"):
        open_packet_socket("nowhere")


SCENARIOS: list[Callable[[], None]] = [
    flood, tags, drops, memory, gone, failure, handed_over, link_types, blind_spots, refused,
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_tap(scenario: Callable[[], None]) -> None:
    run_alone(__file__, scenario)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

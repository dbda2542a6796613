"""Packet sockets: time stamps, lost frames, and what they pass by."""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv4Address

from sandbox import DEADLINE_S, refusal, wait_until
from wires import ONE_MAC, OTHER_MAC, Ear, Net, Rules, join, send_udp

from netchain.wire import build
from netchain.wire.packet_socket import SO_TIMESTAMPNS, open_packet_socket, take_drops

_OWN, _OTHER = IPv4Address("10.137.0.14"), IPv4Address("10.137.0.13")
_FRAME = build.canary(ONE_MAC, OTHER_MAC, b"x" * 1000)
_SO_RCVBUFFORCE = 33

_DROP_ALL = """table inet netchain {
    chain output { type filter hook output priority filter; policy drop;
        counter drop comment "output"
    }
    chain postrouting { type filter hook postrouting priority srcnat; policy drop;
        counter drop comment "postrouting"
    }
}"""


class Link:
    """A qube and its netvm, which send nothing by themselves (no IPv6, neighbours permanent)."""

    def __init__(self) -> None:
        self.client, self.netvm = Net(), Net()
        for net in (self.client, self.netvm):
            net.sysctl(ipv6__conf__default__disable_ipv6=1)
        join(self.client, "eth0", self.netvm, "vif0")
        self.client.ip(
            f"addr add {_OWN}/32 dev eth0",
            f"route add {_OTHER} dev eth0",
            f"neigh add {_OTHER} lladdr {OTHER_MAC} dev eth0",
        )
        self.near, self.far = Ear(self.client, "eth0"), Ear(self.netvm, "vif0")


def stamped(sock: socket.socket) -> tuple[int, int]:
    """Seconds and nanoseconds of the next frame, from its control message."""
    _, controls, _, _ = sock.recvmsg(1 << 16, 256)
    [data] = [
        d for level, kind, d in controls if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)
    ]
    return struct.unpack("@qq", data)


def stamped_on_arrival(link: Link, tap: socket.socket) -> bool:
    """Whether the time of a frame that we send now lies between before and after its sending."""
    before = time.time_ns()
    link.near.inject(build.udp(_OWN, _OTHER, 1, 2, b"x"))
    after = time.time_ns()
    seconds, nanoseconds = stamped(tap)
    return before <= seconds * 1_000_000_000 + nanoseconds <= after


def test_frames_are_stamped_with_the_time_of_day() -> None:
    """The judge compares a frame's time with that of the plan's steps, time.time_ns (apply.py).

    The kernel turns time stamps on in a work queue, a moment after the first socket of the machine
    wants them. A frame of that moment gets the time when it is read, which is later.
    """
    link = Link()
    with link.client, open_packet_socket("eth0") as tap:
        tap.settimeout(DEADLINE_S)
        wait_until(lambda: stamped_on_arrival(link, tap), "time stamps")
        assert all(stamped_on_arrival(link, tap) for _ in range(50))


def test_lost_frames_are_counted_and_the_count_starts_anew() -> None:
    """packet_socket.take_drops: a proof of silence needs that nothing was lost (tap.py)."""
    link, sent = Link(), 200
    with link.netvm, open_packet_socket("vif0", receive_buffer=1) as tap:
        assert take_drops(tap) == 0
        for _ in range(sent):
            link.far.send(_FRAME)
        dropped = take_drops(tap)
        tap.setblocking(False)
        read = 0
        while not refusal(lambda: tap.recv(1 << 16)):
            read += 1
        assert 0 < dropped < sent and read == sent - dropped
        assert take_drops(tap) == 0, "reading it resets it"


def test_a_large_buffer_is_refused_without_power_over_the_machine() -> None:
    """open_packet_socket falls back to SO_RCVBUF: root of a site may not force its buffer."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        forced = (socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        assert refusal(lambda: sock.setsockopt(*forced)) == "EPERM"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 128 << 20


def test_what_a_packet_socket_sends_passes_by_the_output_rules() -> None:
    """prove.py sends the sweep past the client's own rules, so that it tests the netvm's."""
    link = Link()
    with link.client:
        rules = Rules()
        rules.load(_DROP_ALL)
        assert refusal(lambda: send_udp(str(_OTHER), 7001)) == "EPERM"
    link.near.inject(build.udp(_OWN, _OTHER, 1, 7002, b"x"))
    assert link.far.until_port(7002) == [7002]
    assert (rules.packets("output"), rules.packets("postrouting")) == (1, 0)


def test_the_netvms_rules_see_what_a_packet_socket_sends() -> None:
    """The other half of that: the frame comes in at the netvm like every other."""
    link = Link()
    with link.netvm:
        rules = Rules()
    rules.load(
        """table inet netchain {
    chain antispoof { type filter hook prerouting priority raw; policy accept;
        udp dport 7002 counter drop comment "seen"
    }
}"""
    )
    link.near.inject(build.udp(_OWN, _OTHER, 1, 7002, b"x"))
    wait_until(lambda: rules.packets("seen") == 1, "the packet at the netvm's rules")


def test_a_tap_hears_what_the_netvms_rules_drop() -> None:
    """tap.py listens at the netvm's end, in front of its rules: nothing on the wire is missed."""
    link = Link()
    with link.netvm:
        Rules().load(
            """table inet netchain {
    chain antispoof { type filter hook prerouting priority -500; policy drop;
        counter drop
    }
}"""
        )
    link.near.inject(build.udp(_OWN, _OTHER, 1, 7001, b"x"))
    assert link.far.until_port(7001) == [7001]


def test_a_tap_does_not_hear_itself_but_others_do() -> None:
    """packet_socket.py has sockets of their own to send with: a tap is deaf to its own frames."""
    link = Link()
    with link.client, open_packet_socket("eth0") as tap:
        tap.send(_FRAME)
        tap.setblocking(False)
        assert refusal(lambda: tap.recv(1 << 16)) == "EAGAIN"
        link.near.send(_FRAME)
        assert tap.recv(1 << 16) == _FRAME

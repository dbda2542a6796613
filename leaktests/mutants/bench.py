"""One qube under its rules, alone in a namespace, every link of it held by us.

Theory of operation: this process is root of a user namespace and stands in the qube's network
namespace (`plugged`). Nobody else is there: no program, no neighbour, no timer that sends.

No waiting for silence: a marker frame follows what was sent in through the same link, and when the
qube has it, everything before it was dealt with; then a marker leaves by each link, and what is
captured before that is all that came out (one CPU: veth keeps the order on it).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from leaktests.mutants.plugged import WEAK, Plugged
from leaktests.mutants.scenes import Scene
from netchain.model.addressing import (
    CLIENT_MAC,
    NETVM_MAC,
    UPLINK,
)
from netchain.nft.sets import VPN_MARK
from netchain.wire import build
from netchain.wire.packet_socket import take_drops

_SOL_PACKET, _QDISC_BYPASS = 263, 20  # linux/if_packet.h
_BURST, _HELD_BYTES, _TIMEOUT_S = 32, 8 << 20, 20.0
_NOBODY = IPv6Address("::")
_HEARD = ((4, 1), (4, 6), (4, 17), (6, 58), (6, 6), (6, 17))
"""Family and protocol of what is delivered: a raw socket gets a copy behind the input hook."""
_ALL, _MARKER = 0x0003, 0x88B5  # ETH_P_ALL; IEEE 802 local experimental ethertype 1


@dataclass(frozen=True)
class Own:
    """How the qube itself sends: out of which interface, and with the VPN's mark or without."""

    dev: str
    marked: bool


class Bench(Plugged):
    """The qube of a scene with our sockets on its links."""

    def __init__(
        self, scene: Scene, sysctls: Mapping[str, int] = WEAK, *, hostile: bool = True
    ) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        super().__init__(scene, sysctls, hostile=hostile)
        sockets = {name: self._packet_socket(f"f-{name}", _ALL, far=True) for name in self.links}
        self._far: dict[str, socket.socket] = sockets
        self._near = {name: self._packet_socket(name, _MARKER, far=False) for name in self.links}
        self._own: dict[tuple[Own, int], socket.socket] = {}
        self._raw = {what: _raw(*what) for what in _HEARD}
        self._markers = 0
        self.captured: dict[str, list[bytes]] = {name: [] for name in self.links}
        self.delivered: list[bytes] = []

    def close(self) -> None:
        for held in (self._near, self._far, self._own, self._raw):
            for sock in held.values():
                sock.close()
        super().close()

    def cut(self, link: str) -> None:
        """Take a link down; nothing can be sent or captured there any more."""
        self.ip("link", "set", link, "down")
        for held in (self._far, self._near):
            held.pop(link).close()

    def send(self, link: str, frames: Iterable[bytes]) -> int:
        """Frames in through a link, from its far end; how many the qube did not get."""
        before, sent = _received(link), 0
        far = self._far[link]
        for sent, frame in enumerate(frames, 1):
            far.send(frame)
            if sent % _BURST == 0:
                self._drain()
        self._mark(far, self._near[link])
        return sent + 1 - (_received(link) - before)

    def framed(self, link: str, packet: bytes) -> bytes:
        """The packet with the Ethernet header that it has when it comes in through the link."""
        ends = (NETVM_MAC, CLIENT_MAC) if link == UPLINK else (CLIENT_MAC, NETVM_MAC)
        if packet[0] >> 4 == 6 and packet[24] == 0xFF:  # a group: RFC 2464, section 7
            ends = ends[0], "33:33:" + packet[36:40].hex(":")
        return build.ethernet(*ends, build.ethertype_of(packet), packet)

    def send_own(self, own: Own, packets: Iterable[bytes]) -> int:
        """IP packets as a program of the qube (uid 0) sends them, through its output hook; how many
        the rules or the kernel refused."""
        refused = 0
        for number, packet in enumerate(packets, 1):
            six = packet[0] >> 4 == 6
            to = socket.inet_ntop(socket.AF_INET6, packet[24:40]) if six else socket.inet_ntop(
                socket.AF_INET, packet[16:20])  # fmt: skip
            try:
                self._sender(own, 6 if six else 4).sendto(packet, (to, 0))
            except OSError:
                refused += 1
            if number % _BURST == 0:
                self._drain()
        return refused

    def _sender(self, own: Own, version: int) -> socket.socket:
        if (own, version) not in self._own:
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, own.dev.encode())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if own.marked:
                sock.setsockopt(socket.SOL_SOCKET, 36, VPN_MARK)  # SO_MARK
            self._own[own, version] = sock
        return self._own[own, version]

    def seen(self) -> tuple[dict[str, list[bytes]], list[bytes]]:
        """What came out of each link, and what was delivered, since the last call."""
        for name, far in self._far.items():
            self._mark(far, self._near[name])
        for name, far in self._far.items():
            self.captured[name] += self._mark(self._near[name], far)
        self._drain()
        found, delivered = self.captured, self.delivered
        self.captured, self.delivered = {name: [] for name in self._far}, []
        return found, delivered

    def drops(self) -> int:
        """Frames that we lost since the last call."""
        return sum(take_drops(sock) for sock in self._far.values())

    def _drain(self) -> None:
        for name, sock in self._far.items():
            _take(sock, self.captured[name])
        for (version, protocol), sock in self._raw.items():
            if version == 4:
                _take(sock, self.delivered)
            else:
                self.delivered += _heard6(sock, protocol)

    def _mark(self, sender: socket.socket, receiver: socket.socket) -> list[bytes]:
        """Send a marker; what the receiver got before it."""
        self._markers += 1
        marker = bytes(12) + _MARKER.to_bytes(2) + self._markers.to_bytes(46)
        sender.send(marker)
        frames: list[bytes] = []
        receiver.settimeout(_TIMEOUT_S)
        try:
            while (frame := receiver.recv(65536)) != marker:
                if frame[12:14] != marker[12:14]:
                    frames.append(frame)
        finally:
            receiver.setblocking(False)
        return frames

    def _packet_socket(self, name: str, protocol: int, *, far: bool) -> socket.socket:
        with self.within(far):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD_BYTES)
            # A new veth end has no queue until the kernel's link watch comes round: send past it.
            sock.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
            sock.bind((name, protocol))
        sock.setblocking(False)
        return sock


def _take(sock: socket.socket, into: list[bytes]) -> None:
    try:
        while True:
            into.append(sock.recv(65536))
    except BlockingIOError:
        return


def _heard6(sock: socket.socket, protocol: int) -> Iterator[bytes]:
    """Of IPv6 a raw socket gets only what follows the header, and the source."""
    try:
        while True:
            data, source = sock.recvfrom(65536)
            address = IPv6Address(source[0].partition("%")[0])
            yield build.ip(address, _NOBODY, protocol, data)
    except BlockingIOError:
        return


def _raw(version: int, protocol: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_RAW, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD_BYTES)
    sock.setblocking(False)
    return sock


def _received(link: str) -> int:
    """Frames that the interface has received, of /proc/net/dev."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == link:
            return int(counts.split()[1])
    raise OSError(f"there is no interface {link}")

"""Builds the few frames that netchain itself sends (pure): canaries and the sweep's packets.

Lengths and checksums are right (RFC 791, 768, 9293, 4443), so that a qube drops such a packet
because of its rules and not because it is malformed.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
CANARY_ETHERTYPE = 0x88B5
"""IEEE 802 local experimental ethertype 1: no stack takes it, so no qube passes it on."""

_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_SYN = 2


def ethernet(source: str, destination: str, ethertype: int, body: bytes) -> bytes:
    return _mac(destination) + _mac(source) + struct.pack("!H", ethertype) + body


def canary(source: str, destination: str, token: bytes) -> bytes:
    """A frame that proves that a tap hears its link; at least 60 bytes, as Ethernet wants."""
    return ethernet(source, destination, CANARY_ETHERTYPE, token.ljust(46, b"\0"))


def tunnel_canary(token: bytes) -> bytes:
    """The same for a tunnel, which carries no Ethernet: an IPv4 packet of protocol 253 (RFC 3692,
    for experiments) between documentation addresses. It ends at the provider."""
    return _ip(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 253, token)


def udp(source: Address, destination: Address, sport: int, dport: int, data: bytes) -> bytes:
    """An IP packet with a UDP datagram."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    return _ip(source, destination, _UDP, head + data, checksum_at=6)


def tcp_syn(source: Address, destination: Address, sport: int, dport: int) -> bytes:
    """An IP packet with a TCP SYN."""
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, _SYN, 64240, 0, 0)
    return _ip(source, destination, _TCP, head, checksum_at=16)


def ping(source: Address, destination: Address, data: bytes) -> bytes:
    """An IP packet with an ICMP or ICMPv6 echo request."""
    if source.version == 6:
        return _ip(source, destination, _ICMP6, struct.pack("!BBHHH", 128, 0, 0, 1, 1) + data, 2)
    head = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + data
    return _ip(source, destination, _ICMP, _put(head, 2, checksum(head)))


def ethertype_of(packet: bytes) -> int:
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def _ip(
    source: Address, destination: Address, protocol: int, body: bytes, checksum_at: int = -1
) -> bytes:
    """The packet; the transport checksum over the pseudo-header goes to `checksum_at`."""
    if checksum_at >= 0:
        pseudo = source.packed + destination.packed + struct.pack("!II", len(body), protocol)
        body = _put(body, checksum_at, checksum(pseudo + body) or 0xFFFF)
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
        return head + source.packed + destination.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
    head += source.packed + destination.packed
    return _put(head, 10, checksum(head)) + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _put(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("!H", value) + data[at + 2 :]


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))

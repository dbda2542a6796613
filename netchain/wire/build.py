"""Builds the plain frames that netchain itself sends (pure): canaries, the proof's and the leak
tests' packets, fifty times as fast as scapy.

Lengths and checksums are right (RFC 791, 768, 9293, 4443), so that a qube drops such a packet
because of its rules and not because it is malformed.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
CANARY_ETHERTYPE = 0x88B5
"""IEEE 802 local experimental ethertype 1: no stack takes it, so no qube passes it on."""

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
_TCP_FLAGS = "FSRPAUEC"


def ethernet(source: str, destination: str, ethertype: int, body: bytes) -> bytes:
    return _mac(destination) + _mac(source) + struct.pack("!H", ethertype) + body


def canary(source: str, destination: str, token: bytes) -> bytes:
    """A frame that proves that a tap hears its link; at least 60 bytes, as Ethernet wants."""
    return ethernet(source, destination, CANARY_ETHERTYPE, token.ljust(46, b"\0"))


def tunnel_canary(token: bytes) -> bytes:
    """The same for a tunnel, which carries no Ethernet: an IPv4 packet of protocol 253 (RFC 3692,
    for experiments) between documentation addresses. It ends at the provider."""
    return ip(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 253, token)


def ip(source: Address, destination: Address, protocol: int, body: bytes, ttl: int = 64) -> bytes:
    """An IP packet of the addresses' family around the body; `ttl` is IPv6's hop limit, too."""
    ends = source.packed + destination.packed
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + ends + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, ttl, protocol, 0) + ends
    return _put(head, 10, checksum(head)) + body


def udp(source: Address, destination: Address, sport: int, dport: int, data: bytes) -> bytes:
    """An IP packet with a UDP datagram."""
    body = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return ip(source, destination, UDP, _summed(source, destination, UDP, body, 6))


def tcp(
    source: Address, destination: Address, sport: int, dport: int, flags: str, numbers: bytes,
    data: bytes = b"", options: bytes = b"",
) -> bytes:  # fmt: skip
    """An IP packet with a TCP segment; `flags` are letters (`SA` for SYN and ACK), `numbers` the
    sequence and acknowledgement numbers (8 bytes), `options` a multiple of four bytes."""
    bits = sum(1 << _TCP_FLAGS.index(flag) for flag in flags)
    words = 5 + len(options) // 4
    body = struct.pack("!HH8sBBHHH", sport, dport, numbers, words << 4, bits, 64240, 0, 0)
    body += options + data
    return ip(source, destination, TCP, _summed(source, destination, TCP, body, 16))


def tcp_syn(source: Address, destination: Address, sport: int, dport: int) -> bytes:
    """An IP packet with a TCP SYN."""
    return tcp(source, destination, sport, dport, "S", struct.pack("!II", 1, 0))


def icmp(source: Address, destination: Address, kind: int, code: int, rest: bytes) -> bytes:
    """An IP packet with an ICMP or ICMPv6 message; `rest` is what follows the checksum."""
    body = bytes((kind, code, 0, 0)) + rest
    if source.version == 6:
        return ip(source, destination, ICMP6, _summed(source, destination, ICMP6, body, 2))
    return ip(source, destination, ICMP, _put(body, 2, checksum(body)))


def ping(source: Address, destination: Address, data: bytes) -> bytes:
    """An IP packet with an ICMP or ICMPv6 echo request."""
    kind = 8 if source.version == 4 else 128
    return icmp(source, destination, kind, 0, struct.pack("!HH", 1, 1) + data)


def ethertype_of(packet: bytes) -> int:
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _summed(
    source: Address, destination: Address, protocol: int, body: bytes, at: int
) -> bytes:  # fmt: skip
    """The body with its checksum, over the pseudo-header, too, at that offset."""
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), protocol)
    return _put(body, at, checksum(pseudo + body) or 0xFFFF)


def _put(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("!H", value) + data[at + 2 :]


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))

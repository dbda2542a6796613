"""Frames made by hand, right unless told otherwise, for the tests of the decoder.

Not made with scapy: the decoder is compared with scapy elsewhere.
"""

from struct import pack
from typing import Any

MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
A4, B4 = bytes([10, 137, 0, 40]), bytes([198, 51, 100, 7])
A6 = bytes.fromhex("fd0924ef4179000000000000000a8928")
B6 = bytes.fromhex("20010db8000000000000000000000007")
TARGET = bytes.fromhex("fe800000000000000000000000000001")


def ethernet(payload: bytes, ethertype: int = 0x0800, tags: bytes = b"") -> bytes:
    return MAC_B + MAC_A + tags + pack("!H", ethertype) + payload


def ipv4(
    payload: bytes,
    protocol: int = 17,
    *,
    options: bytes = b"",
    fragment: int = 0,
    total: int | None = None,
    first: int | None = None,
) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload) if total is None else total
    version = 0x40 | words if first is None else first
    head = pack("!BBHHHBBH4s4s", version, 0, length, 7, fragment, 64, protocol, 0, A4, B4)
    return head + options + payload


def ipv6(payload: bytes, header: int = 17, length: int | None = None, first: int = 0x60) -> bytes:
    size = len(payload) if length is None else length
    return pack("!B3xHBB16s16s", first, size, header, 255, A6, B6) + payload


def udp(payload: bytes = b"data", length: int | None = None) -> bytes:
    return pack("!HHHH", 5353, 51820, 8 + len(payload) if length is None else length, 0) + payload


def tcp(payload: bytes = b"", *, words: int = 5, flags: int = 0x02) -> bytes:
    return pack("!HHIIHHHH", 40000, 443, 1, 0, words << 12 | flags, 1024, 0, 0) + payload


def icmp(kind: int, code: int, rest: bytes = bytes(4), payload: bytes = b"") -> bytes:
    return pack("!BBH", kind, code, 0) + rest + payload


def frame4(payload: bytes, protocol: int = 17, **changes: Any) -> bytes:
    return ethernet(ipv4(payload, protocol, **changes))


def frame6(payload: bytes, header: int = 17, **changes: Any) -> bytes:
    return ethernet(ipv6(payload, header, **changes), 0x86DD)


ARP = ethernet(pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, MAC_A, A4, bytes(6), B4), 0x0806)
QUOTE4, QUOTE6 = ipv4(udp(b"marker")), ipv6(udp(b"marker"))
HOP_BY_HOP = bytes([58, 0, 5, 2, 0, 0, 1, 0])
MLD2 = pack("!BBHHH", 143, 0, 0, 0, 1) + pack("!BBH16s", 4, 0, 0, TARGET)
REDIRECT = icmp(137, 0, payload=TARGET + B6 + bytes([4, 8]) + bytes(6) + ipv6(udp(b"marked!!")))

"""The packets of an exchange: answers, errors, neighbour discovery (pure)."""

from __future__ import annotations

from ipaddress import ip_address

from netchain.model.chain import Address
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow

NUMBERS = bytes(8)
"""Sequence and acknowledgement numbers."""
NAME = b"a question for a name"
"""Longer than a DNS header: a Tor gateway takes nothing shorter."""
WIREGUARD = b"\x04\0\0\0" + bytes(60)
_TCP, _UDP = 6, 17


def version(packet: bytes) -> int:
    return packet[0] >> 4


def ether(packet: bytes) -> bytes:
    return bytes(12) + build.ethertype_of(packet).to_bytes(2) + packet


def addresses(packet: bytes) -> tuple[Address, Address]:
    flow = decode(ether(packet))
    return address(flow.source), address(flow.destination)


def address(data: bytes | None) -> Address:
    assert data is not None
    return ip_address(data)


def text(packet: bytes) -> str:
    return str(addresses(packet)[1])


def answer(flow: Flow) -> bytes:
    """What the other end of a flow says to its first packet."""
    ends = address(flow.destination), address(flow.source)
    if flow.protocol == _TCP:
        return build.tcp(*ends, flow.dport or 0, flow.sport or 0, "SA", NUMBERS[:4] + b"\0\0\0\1")
    if flow.protocol == _UDP:
        return build.udp(*ends, flow.dport or 0, flow.sport or 0, WIREGUARD)
    kind = 0 if ends[0].version == 4 else 129
    return build.icmp(*ends, kind, 0, b"\0\1\0\1x")


def error(flow: Flow, router: Address, kind: int, code: int) -> bytes:
    """An error about the flow's packet, as a router on its way tells it."""
    ends = address(flow.source), address(flow.destination)
    if flow.protocol == _TCP:
        quoted = build.tcp(*ends, flow.sport or 0, flow.dport or 0, "S", NUMBERS)
    elif flow.protocol == _UDP:
        quoted = build.udp(*ends, flow.sport or 0, flow.dport or 0, WIREGUARD)
    else:
        quoted = build.ping(*ends, b"x")
    return build.icmp(router, ends[0], kind, code, (1300).to_bytes(4) + quoted)


def neighbour(kind: int, source: Address, to: Address, target: Address) -> bytes:
    """A neighbour solicitation (135) or a solicited advertisement (136), RFC 4861."""
    flags = b"\x60\0\0\0" if kind == 136 else bytes(4)
    message = build.icmp(source, to, kind, 0, flags + target.packed)
    return message[:7] + b"\xff" + message[8:]  # the hop limit is outside the checksum


def not_fragmented(packet: bytes) -> bytes:
    """The IPv4 packet with DF set."""
    head = packet[:6] + b"\x40" + packet[7:10] + b"\0\0" + packet[12:20]
    return head[:10] + build.checksum(head).to_bytes(2) + head[12:] + packet[20:]

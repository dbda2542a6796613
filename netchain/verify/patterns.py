"""What `allowed()` lists, as a condition on a packet: the judge of captures, over an algebra.

The same as wire/judge.py but for what a rule cannot ask: WireGuard is UDP to its endpoint here, and
of neighbour discovery only the source and the hop limit count, not who is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from netchain.model.allowed import FlowPattern, Kind, Network
from netchain.nft.fields import ICMP, ICMPV6, TCP, UDP
from netchain.verify.algebra import Bit, any_of, every
from netchain.verify.packet import DPORT, DST, IP, IP6, SPORT, SRC, Packet
from netchain.verify.words import is_prefix, is_same, is_value, piece

_ICMP_TYPES = {
    (IP, Kind.PING): (ICMP, (0, 8)), (IP6, Kind.PING): (ICMPV6, (128, 129)),
    (IP, Kind.ICMP_ERROR): (ICMP, (3, 11, 12)), (IP6, Kind.ICMP_ERROR): (ICMPV6, (1, 2, 3, 4)),
    (IP6, Kind.NDP): (ICMPV6, (135, 136)), (IP6, Kind.MLD): (ICMPV6, (131, 132, 143)),
}  # fmt: skip
_PROTOCOLS = {Kind.TCP: TCP, Kind.UDP: UDP, Kind.WIREGUARD: UDP}
_VERSION = {IP: 4, IP6: 6}


def permits(packet: Packet, patterns: Iterable[FlowPattern]) -> Bit:
    """Whether one of the patterns allows the packet, in whatever direction it is for."""
    algebra = packet.algebra
    found = [
        _matches(packet, pattern) for pattern in patterns
        if pattern.source.version == _VERSION[packet.family]
    ]  # fmt: skip
    return algebra.both(is_plain(packet), any_of(algebra, found))


def is_plain(packet: Packet) -> Bit:
    """Whole, without options and extension headers."""
    algebra = packet.algebra
    if packet.family == IP6:
        return is_same(algebra, packet.named(IP6, "nexthdr"), packet.protocol)
    whole = is_value(algebra, piece(packet.named(IP, "frag-off"), 2, 16), 0)
    return algebra.both(is_value(algebra, packet.named(IP, "hdrlength"), 5), whole)


def _matches(packet: Packet, pattern: FlowPattern) -> Bit:
    algebra = packet.algebra
    parts = [_is_kind(packet, pattern.kind), _within(packet, SRC, pattern.source)]
    if pattern.kind is Kind.NDP:
        hops = packet.named(IP6, "hoplimit")
        return every(algebra, [*parts, is_value(algebra, hops, 255)])
    parts.append(_within(packet, DST, pattern.destination))
    if pattern.sport is not None:
        parts.append(is_value(algebra, packet.bits(SPORT), pattern.sport))
    if pattern.dport is not None:
        parts.append(is_value(algebra, packet.bits(DPORT), pattern.dport))
    return every(algebra, parts)


def _is_kind(packet: Packet, kind: Kind) -> Bit:
    algebra = packet.algebra
    if kind in _PROTOCOLS:
        return packet.is_protocol(_PROTOCOLS[kind])
    if (packet.family, kind) not in _ICMP_TYPES:
        return algebra.false
    protocol, types = _ICMP_TYPES[packet.family, kind]
    return algebra.both(packet.is_protocol(protocol), packet.is_type(*types))


def _within(packet: Packet, which: str, network: Network) -> Bit:
    address = packet.address(which)
    return is_prefix(packet.algebra, address, int(network.network_address), network.prefixlen)

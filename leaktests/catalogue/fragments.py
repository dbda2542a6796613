"""F. Fragments, options and header fields: packets that rules read otherwise than stacks do."""

from __future__ import annotations

from ipaddress import ip_address

from scapy.layers.inet import (
    IPOption_LSRR,
    IPOption_Router_Alert,
    IPOption_RR,
    IPOption_SSRR,
    IPOption_Timestamp,
)
from scapy.layers.inet6 import (
    HBHOptUnknown,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
    PadN,
    RouterAlert,
)
from scapy.packet import Packet, Raw

from leaktests.engine.probe import Aim, Topic
from netchain.model.allowed import Direction
from netchain.wire import build

topic = Topic("fragments and options")
_ALONE = "a router that tracks flows waits for the other fragments"
_SOURCE_ROUTE = "Linux forwards no source route unless it is told to"


def _transport(aim: Aim) -> bytes:
    """What IP carries: a datagram of 32 bytes, the marker in each eight of its payload."""
    return aim.datagram(4444, aim.marker * 3)[20 if aim.version == 4 else 40 :]


def _two(aim: Aim) -> list[Packet]:
    data = _transport(aim)
    return [_piece(aim, data[:16], 0, more=True), _piece(aim, data[16:], 16, more=False)]


def _piece(aim: Aim, data: bytes, offset: int, more: bool) -> Packet:
    """A fragment of this shot's own datagram (by its identification); the offset is in bytes."""
    if aim.version == 4:
        flags = "MF" if more else 0
        header = aim.ip(proto=17, id=aim.number & 0xFFFF, flags=flags, frag=offset // 8)
        return header / Raw(data)
    fragment = IPv6ExtHdrFragment(nh=17, id=aim.number, offset=offset // 8, m=int(more))
    return aim.ip() / fragment / Raw(data)


@topic.probe("F01", "a first fragment without the rest", why_not=_ALONE)
def first_only(aim: Aim) -> Packet:
    return _piece(aim, _transport(aim), 0, more=True)


@topic.probe("F02", "a later fragment without the first", why_not=_ALONE)
def later_only(aim: Aim) -> Packet:
    return _piece(aim, aim.marker * 4, 64, more=False)


@topic.probe("F01", "a datagram in two fragments")
def both(aim: Aim) -> list[Packet]:
    return _two(aim)


@topic.probe("F03", "a first fragment of eight bytes, the rest behind it")
def tiny_first(aim: Aim) -> list[Packet]:
    data = _transport(aim)
    return [_piece(aim, data[:8], 0, more=True), _piece(aim, data[8:], 8, more=False)]


@topic.probe("F04", "fragments that overlap")
def overlapping(aim: Aim) -> list[Packet]:
    data = _transport(aim)
    return [
        _piece(aim, data[:24], 0, more=True),
        _piece(aim, aim.marker * 2, 8, more=True),
        _piece(aim, data[24:], 24, more=False),
    ]


@topic.probe("F05", "an atomic IPv6 fragment, also behind hop-by-hop options", families=(6,))
def atomic(aim: Aim) -> list[Packet]:
    fragment = IPv6ExtHdrFragment(nh=17, id=aim.number, offset=0, m=0)
    data = Raw(_transport(aim))
    hop = IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
    return [aim.ip() / fragment / data, aim.ip() / hop / fragment / data]


@topic.probe("F05", "an IPv6 fragment behind hop-by-hop options", families=(6,), why_not=_ALONE)
def behind_hop_by_hop(aim: Aim) -> Packet:
    fragment = IPv6ExtHdrFragment(nh=17, id=aim.number, offset=0, m=1)
    return aim.ip() / IPv6ExtHdrHopByHop() / fragment / Raw(_transport(aim))


@topic.probe("F07", "loose and strict source routes", families=(4,), why_not=_SOURCE_ROUTE)
def source_routes(aim: Aim) -> list[Packet]:
    via = [str(aim.place.peer(4)), str(aim.to)]
    options = [IPOption_LSRR(routers=via), IPOption_SSRR(routers=via)]
    return [aim.ip(options=[option]) / Raw(_transport(aim)) for option in options]


@topic.probe("F08", "record route, timestamp, router alert", families=(4,))
def options4(aim: Aim) -> list[Packet]:
    options = [
        IPOption_RR(routers=[str(aim.place.peer(4))] * 3, pointer=4),
        IPOption_Timestamp(flg=0, timestamp=0),
        IPOption_Router_Alert(),
    ]
    load = Raw(_transport(aim))
    opens = aim.ip(options=options[:1]) / aim.tcp(443)
    return [*(aim.ip(options=[option], proto=17) / load for option in options), opens]


@topic.probe("F09", "IPv6 routing headers of type 0, 2 and 4", families=(6,))
def routing_headers(aim: Aim) -> list[Packet]:
    """Routers pass them on; only a node that they name as its next stop looks into them."""
    stop, load = str(aim.to), Raw(_transport(aim))
    return [
        aim.ip() / IPv6ExtHdrRouting(type=0, addresses=[stop], segleft=1, nh=17) / load,
        aim.ip() / IPv6ExtHdrRouting(type=2, addresses=[stop], segleft=1, nh=17) / load,
        aim.ip() / IPv6ExtHdrSegmentRouting(addresses=[stop], segleft=0, lastentry=0, nh=17) / load,
    ]


@topic.probe(
    "F09",
    "IPv6 routing headers that name the gateway as the next stop",
    families=(6,),
    why_not=_SOURCE_ROUTE,
)
def routing_by_gateway(aim: Aim) -> list[Packet]:
    peer, load = str(aim.place.peer(6)), Raw(_transport(aim))
    return [
        aim.ip(dst=peer) / IPv6ExtHdrRouting(type=kind, addresses=[str(aim.to)], segleft=1, nh=17)
        / load
        for kind in (0, 2)
    ]  # fmt: skip


@topic.probe("F10", "hop-by-hop and destination options, known and unknown", families=(6,))
def options6(aim: Aim) -> list[Packet]:
    """An unknown option whose first bits are 00 is skipped by all (RFC 8200, section 4.2)."""
    unknown = HBHOptUnknown(otype=0x1E, optdata=b"\0" * 4)
    load = Raw(_transport(aim))
    return [
        aim.ip() / IPv6ExtHdrHopByHop(nh=17, options=[unknown]) / load,
        aim.ip() / IPv6ExtHdrHopByHop(nh=17, options=[RouterAlert()]) / load,
        aim.ip() / IPv6ExtHdrDestOpt(nh=17, options=[unknown]) / load,
    ]


@topic.probe("F11", "nine extension headers before UDP", families=(6,))
def many_extensions(aim: Aim) -> Packet:
    packet = aim.ip()
    for number in range(9):
        packet = packet / IPv6ExtHdrDestOpt(nh=17 if number == 8 else 60)
    return packet / Raw(_transport(aim))


_DOWN = "the qube at the end of the link does not answer it"


@topic.probe("F01", "a datagram in two fragments, down the link", direction=Direction.DOWN,
             why_not=_DOWN)  # fmt: skip
def both_down(aim: Aim) -> list[Packet]:
    return _two(aim)


@topic.probe("F08", "options, down the link", families=(4,), direction=Direction.DOWN,
             why_not=_DOWN)  # fmt: skip
def options4_down(aim: Aim) -> list[Packet]:
    return [*options4(aim), *source_routes(aim)]


@topic.probe("F10", "extension headers, down the link", families=(6,), direction=Direction.DOWN,
             why_not=_DOWN)  # fmt: skip
def options6_down(aim: Aim) -> list[Packet]:
    return [*options6(aim), *routing_headers(aim), *atomic(aim)]


@topic.probe("F12", "TTL 2 to 5")
def low_ttl(aim: Aim) -> list[bytes]:
    """Who says time exceeded, and to whom?"""
    data = _transport(aim)
    return [build.ip(aim.own, aim.to, 17, data, ttl=ttl) for ttl in range(2, 6)]


@topic.probe("F12", "TTL 1 and 0", why_not="the next hop may not pass it on")
def no_ttl(aim: Aim) -> list[bytes]:
    data = _transport(aim)
    return [build.ip(aim.own, aim.to, 17, data, ttl=ttl) for ttl in (1, 0)]


@topic.probe("F13", "hop limit 255")
def high_ttl(aim: Aim) -> bytes:
    return build.ip(aim.own, aim.to, 17, _transport(aim), ttl=255)


_AS_NEIGHBOUR = "it is for the end of the link"


@topic.probe("F13", "hop limit 255, to the gateway itself", why_not=_AS_NEIGHBOUR)
def as_neighbour(aim: Aim) -> list[bytes | Packet]:
    """Only who is on the link can send it: that opens neighbour discovery, and nothing else."""
    return _as_neighbour(aim)


@topic.probe("F13", "hop limit 255, down the link", direction=Direction.DOWN, why_not=_AS_NEIGHBOUR)
def as_neighbour_down(aim: Aim) -> list[bytes | Packet]:
    return _as_neighbour(aim)


def _as_neighbour(aim: Aim) -> list[bytes | Packet]:
    """To the end of the link."""
    peer = aim.place.peer(aim.version)
    return [_with_ttl_255(packet) for packet in aim.all_three(dst=peer)]


@topic.probe(
    "F13", "hop limit 255, to all nodes, down the link", families=(6,), direction=Direction.DOWN,
    why_not=_AS_NEIGHBOUR,
)  # fmt: skip
def to_all_nodes_down(aim: Aim) -> list[Packet]:
    group = aim.ether(dst="33:33:00:00:00:01", type=0x86DD)
    return [group / Raw(_with_ttl_255(p)) for p in aim.all_three(dst=ip_address("ff02::1"))]


def _with_ttl_255(packet: bytes) -> bytes:
    """A plain packet again, with the highest TTL."""
    if packet[0] >> 4 == 6:
        return packet[:7] + b"\xff" + packet[8:]
    head = packet[:8] + b"\xff" + packet[9:10] + b"\0\0" + packet[12:20]
    return head[:10] + build.checksum(head).to_bytes(2) + head[12:] + packet[20:]


@topic.probe("F14", "a packet that may not be fragmented and is too long for a tunnel")
def too_big(aim: Aim) -> list[Packet]:
    """A segment and a datagram of 1480 bytes: too long for a tunnel of 1420, not for a link."""
    header = aim.ip(flags="DF") if aim.version == 4 else aim.ip()
    segment = header / aim.tcp(443, "A") / Raw(bytes(1480 - len(header) - 20))
    datagram = header / aim.udp(4444) / aim.load / Raw(bytes(1480 - len(header) - 16))
    return [segment, datagram]


@topic.probe("F15", "every DSCP and ECN mark", families=(4,))
def dscp_and_ecn(aim: Aim) -> list[Packet]:
    load = aim.udp(4444) / aim.load
    return [aim.ip(tos=mark) / load for mark in (0x01, 0x02, 0x03, 0x20, 0xB8, 0xC0, 0xFF)]


@topic.probe("F15", "traffic classes and flow labels", families=(6,))
def flow_labels(aim: Aim) -> list[Packet]:
    load = aim.udp(4444) / aim.load
    marks = ((0x03, 0), (0xB8, 0x12345), (0xFF, 0xFFFFF))
    return [aim.ip(tc=tc, fl=label) / load for tc, label in marks]


@topic.probe("F16", "chosen IP identifications", families=(4,))
def identifications(aim: Aim) -> list[Packet]:
    load = aim.udp(4444) / aim.load
    return [aim.ip(id=id_, flags=flags) / load for id_ in (1, 0xFFFF) for flags in (0, "DF")]


@topic.probe("F18", "malformed IPv4 headers", families=(4,), why_not="every stack drops it")
def malformed4(aim: Aim) -> list[Packet]:
    """Header length 4 and 15, version 0 and 15, a wrong checksum, lengths that do not fit."""
    good = aim.datagram(4444)
    odd = [b"\x44" + good[1:], b"\x4f" + good[1:], b"\x05" + good[1:], b"\xf5" + good[1:]]
    odd += [good[:10] + b"\xde\xad" + good[12:]]
    odd += [good[:2] + length.to_bytes(2) + good[4:] for length in (8, 4000)]
    return [aim.ether(type=0x0800) / Raw(data) for data in odd]


@topic.probe("F18", "malformed IPv6 headers", families=(6,), why_not="every stack drops it")
def malformed6(aim: Aim) -> list[Packet]:
    good = aim.datagram(4444)
    odd = [b"\x00" + good[1:], b"\xf0" + good[1:], good[:4] + b"\x0f\xa0" + good[6:]]
    return [aim.ether(type=0x86DD) / Raw(data) for data in odd]


@topic.probe("F18", "IP headers that are cut short", why_not="every stack drops it", marked=False)
def cut_short(aim: Aim) -> list[Packet]:
    good = bytes(aim.ip())
    header = aim.ether(type=int.from_bytes(aim.ethertype))
    return [header / Raw(good[:size]) for size in (1, 12, 19)]

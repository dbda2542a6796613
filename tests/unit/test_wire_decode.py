"""The frame decoder on frames made by hand: what each layer yields, and that nothing passes in
silence that is cut short, lies about its length, or hides behind another header.

Not covered: what the right answer is for frames nobody thought of (test_wire_decode_scapy.py), and
the edges of each rule (test_wire_decode_edges.py).
"""

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_frames import (
    A4,
    A6,
    ARP,
    B4,
    B6,
    HOP_BY_HOP,
    MAC_A,
    MAC_B,
    MLD2,
    QUOTE4,
    QUOTE6,
    REDIRECT,
    TARGET,
    ethernet,
    frame4,
    frame6,
    icmp,
    ipv4,
    tcp,
    udp,
)

from netchain.wire.decode import decode
from netchain.wire.flow import Defect, Flow, LinkType

UNDERSTOOD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "UDP": (
        frame4(udp()),
        {
            "ethertype": 0x0800, "source": A4, "destination": B4, "protocol": 17, "sport": 5353,
            "dport": 51820, "payload": b"data", "source_mac": MAC_A, "destination_mac": MAC_B,
        },
    ),
    "UDP in IPv6": (
        frame6(udp()),
        {
            "ethertype": 0x86DD, "source": A6, "destination": B6, "protocol": 17, "sport": 5353,
            "dport": 51820, "payload": b"data",
        },
    ),
    "TCP options": (
        frame4(tcp(bytes(4) + b"x", words=6, flags=0x113), 6),
        {"sport": 40000, "dport": 443, "tcp_flags": 0x113, "payload": b"x"},
    ),
    "UDP-Lite": (frame4(udp(length=8), 136), {"protocol": 136, "dport": 51820, "payload": b"data"}),
    "SCTP": (frame4(pack("!HHII", 1, 2, 0, 0) + b"chunk", 132), {"dport": 2, "payload": b"chunk"}),
    "DCCP": (
        frame4(pack("!HHBBHB7x", 1, 2, 4, 0, 0, 1) + b"d", 33),
        {"sport": 1, "dport": 2, "payload": b"d"},
    ),
    "ESP": (frame4(b"spi and so on", 50), {"protocol": 50, "payload": b"spi and so on"}),
    "ARP": (ARP, {"ethertype": 0x0806, "source": A4, "destination": B4, "arp_operation": 1}),
    "padding": (frame4(udp(b"")) + bytes(18), {"payload": b"", "dport": 51820}),
    "tag": (ethernet(QUOTE4, tags=bytes.fromhex("81002065")), {"vlan": (101,), "dport": 51820}),
    "QinQ": (ethernet(ipv4(udp()), tags=bytes.fromhex("88a8800b81000000")), {"vlan": (11, 0)}),
    "source route": (
        frame4(udp(), options=bytes([1, 131, 7, 4]) + B4),
        {"options": (131,), "dport": 51820},
    ),
    "router alert": (frame4(b"igmp", 2, options=bytes([148, 4, 0, 0])), {"options": (148,)}),
    "first fragment": (
        frame4(udp(length=2000), fragment=0x2000),
        {"more_fragments": True, "fragment": False, "dport": 51820},
    ),
    "last fragment": (
        frame4(udp(), fragment=0x0010),
        {"fragment": True, "more_fragments": False, "protocol": 17, "dport": None},
    ),
    "last fragment in IPv6": (
        frame6(pack("!BBHI", 17, 0, 0x0010, 9) + udp(), 44),
        {"fragment": True, "protocol": 17, "extensions": (44,), "dport": None},
    ),
    "atomic fragment": (
        frame6(pack("!BBHI", 17, 0, 0, 9) + udp(), 44),
        {"fragment": False, "more_fragments": False, "dport": 51820},
    ),
    "all extension headers": (
        frame6(
            bytes([43, 0, 1, 4, 0, 0, 0, 0])
            + bytes([60, 0, 0, 0, 0, 0, 0, 0])
            + bytes([51, 0, 0xC9, 2, 0, 0, 1, 0])
            + bytes([44, 4, 0, 0]) + bytes(20)
            + pack("!BBHI", 6, 0, 1, 9)
            + tcp(),
            0,
        ),
        {
            "extensions": (0, 43, 60, 51, 44), "options": (0xC9,), "protocol": 6, "dport": 443,
            "more_fragments": True,
        },
    ),
    "echo": (
        frame4(icmp(8, 9, payload=b"ping"), 1),
        {"icmp_type": 8, "icmp_code": 9, "payload": b"ping"},
    ),
    "echo in IPv6": (
        frame6(icmp(128, 9, payload=b"ping"), 58),
        {"icmp_type": 128, "icmp_code": 9, "payload": b"ping"},
    ),
    "neighbour solicitation": (
        frame6(icmp(135, 0, payload=TARGET + bytes([1, 1]) + MAC_A), 58),
        {"icmp_type": 135, "ndp_target": TARGET},
    ),
    "MLD": (frame6(HOP_BY_HOP + MLD2, 0), {"extensions": (0,), "options": (5,), "icmp_type": 143}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_fields(name: str) -> None:
    frame, expected = UNDERSTOOD[name]
    flow = decode(frame)
    assert flow.problem is None
    assert {field: getattr(flow, field) for field in expected} == expected


CARRIED = {
    "unreachable": frame4(icmp(3, 3, payload=QUOTE4), 1),
    "unreachable, 8 bytes quoted": frame4(icmp(3, 3, payload=QUOTE4[:28]), 1),
    "time exceeded with extension": frame4(
        icmp(11, 0, bytes([0, 32, 0, 0]), QUOTE4 + bytes(128 - len(QUOTE4)) + b"\x20\0\0\0mpls"), 1
    ),
    "ICMP redirect": frame4(icmp(5, 1, B4, QUOTE4), 1),
    "too big": frame6(icmp(2, 0, payload=QUOTE6), 58),
    "NDP redirect": frame6(REDIRECT, 58),
    "IP in IP": frame4(QUOTE4, 4),
    "6in4": frame4(QUOTE6, 41),
    "4in6": frame6(QUOTE4, 4),
    "GRE with key": frame4(pack("!HHI", 0x2000, 0x0800, 7) + QUOTE4, 47),
    "GRE with Ethernet": frame4(pack("!HH", 0, 0x6558) + ethernet(QUOTE4), 47),
}


@pytest.mark.parametrize("name", CARRIED)
def test_packet_inside_a_packet(name: str) -> None:
    flow = decode(CARRIED[name])
    assert flow.problem is None
    assert flow.inner is not None
    inner = flow.inner
    assert (inner.protocol, inner.sport, inner.dport) == (17, 5353, 51820)
    assert inner.destination in (B4, B6)


REFUSED = {
    "nothing": (b"", Defect.LINK_HEADER),
    "half a link header": (bytes(13), Defect.LINK_HEADER),
    "half a tag": (ethernet(b"\0\1\x08", 0x8100), Defect.LINK_HEADER),
    "five tags": (ethernet(QUOTE4, tags=bytes.fromhex("81000001") * 5), Defect.LINK_HEADER),
    "spanning tree": (ethernet(bytes(38), 38), Defect.LLC),
    "PPPoE": (ethernet(bytes(40), 0x8864), Defect.ETHERTYPE),
    "RARP": (ethernet(ARP[14:], 0x8035), Defect.ETHERTYPE),
    "ARP for tokens": (ethernet(b"\0\6" + ARP[16:], 0x0806), Defect.ARP),
    "ARP with data": (ARP + b"leak", Defect.TRAILER),
    "IPv6 called IPv4": (ethernet(QUOTE6), Defect.IP_VERSION),
    "IPv4 called IPv6": (ethernet(QUOTE4, 0x86DD), Defect.IP_VERSION),
    "version 15": (frame4(udp(), first=0xF5), Defect.IP_VERSION),
    "header of 16 bytes": (frame4(udp(), first=0x44), Defect.IP_HEADER),
    "header beyond the frame": (frame4(b"", first=0x46), Defect.IP_HEADER),
    "longer than the frame": (frame4(udp(), total=33), Defect.IP_LENGTH),
    "shorter than its header": (frame4(udp(), total=19), Defect.IP_LENGTH),
    "length 0": (frame4(udp(), total=0), Defect.IP_LENGTH),
    "data as padding": (frame4(udp(b"")) + bytes(17) + b"x", Defect.TRAILER),
    "too much padding": (frame4(udp(b"")) + bytes(19), Defect.TRAILER),
    "option without end": (frame4(udp(), options=bytes([131, 9, 4, 0])), Defect.OPTIONS),
    "option of length 1": (frame4(udp(), options=bytes([7, 1, 0, 0])), Defect.OPTIONS),
    "data behind the options": (frame4(udp(), options=b"\0abc"), Defect.OPTIONS),
    "jumbogram": (frame6(b"\x11\0\xc2\4\0\0\0\x14" + udp(), 0, length=0), Defect.TRAILER),
    "extension too long": (frame6(bytes([17, 9]) + bytes(6), 0), Defect.EXTENSION),
    "17 extensions": (
        frame6(bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 16 + bytes([17, 0, 1, 4, 0, 0, 0, 0]), 60),
        Defect.EXTENSION,
    ),
    "data in PadN": (frame6(bytes([17, 0, 1, 4]) + b"leak" + udp(), 0), Defect.OPTIONS),
    "IPv6 option without end": (frame6(bytes([17, 0, 5, 9, 0, 0, 0, 0]), 0), Defect.OPTIONS),
    "tiny first fragment": (frame4(tcp()[:8], 6, fragment=0x2000), Defect.TRANSPORT_HEADER),
    "TCP header of 16 bytes": (frame4(tcp(words=4), 6), Defect.TRANSPORT_HEADER),
    "TCP header beyond the packet": (frame4(tcp(words=6), 6), Defect.TRANSPORT_HEADER),
    "UDP longer than the packet": (frame4(udp(length=13)), Defect.TRANSPORT_LENGTH),
    "UDP that leaves bytes over": (frame4(udp(length=11)), Defect.TRANSPORT_LENGTH),
    "UDP length 0": (frame6(udp(length=0)), Defect.TRANSPORT_LENGTH),
    "UDP-Lite coverage 7": (frame4(udp(length=7), 136), Defect.TRANSPORT_LENGTH),
    "half an ICMP header": (frame4(bytes(7), 1), Defect.ICMP),
    "error that quotes nothing": (frame4(icmp(3, 1), 1), Defect.IP_HEADER),
    "quote of 7 bytes": (frame4(icmp(3, 1, payload=QUOTE4[:27]), 1), Defect.TRANSPORT_HEADER),
    "quote longer than the message": (
        frame4(icmp(3, 1, bytes([0, 33, 0, 0]), QUOTE4 + bytes(94)), 1),
        Defect.ICMP,
    ),
    "solicitation without target": (frame6(icmp(135, 0, payload=TARGET[:15]), 58), Defect.NDP),
    "NDP option of length 0": (frame6(icmp(135, 0, payload=TARGET + bytes(8)), 58), Defect.NDP),
    "MLD report with data": (frame6(HOP_BY_HOP + MLD2 + b"leak", 0), Defect.MLD),
    "MLD report of 2, holding 1": (frame6(MLD2[:7] + b"\2" + MLD2[8:], 58), Defect.MLD),
    "GRE with PPP": (frame4(pack("!HHI", 0x2001, 0x880B, 0) + b"ppp", 47), Defect.TUNNEL),
    "GRE with source routes": (frame4(pack("!HHI", 0x4000, 0x0800, 0), 47), Defect.TUNNEL),
    "five packets deep": (frame4(ipv4(ipv4(ipv4(ipv4(QUOTE4, 4), 4), 4), 4), 4), Defect.DEPTH),
    "problem in a carried packet": (frame4(ipv4(udp(), total=99), 4), Defect.IP_LENGTH),
}


@pytest.mark.parametrize("name", REFUSED)
def test_problem(name: str) -> None:
    frame, problem = REFUSED[name]
    assert decode(frame).problem is problem


def test_what_could_be_read_stays_readable_beside_a_problem() -> None:
    flow = decode(frame4(udp(b"marker"), total=500))
    assert flow.problem is Defect.IP_LENGTH
    assert (flow.destination, flow.dport, flow.payload) == (B4, 51820, b"marker")


def test_every_defect_is_shown_by_some_frame() -> None:
    assert {problem for _, problem in REFUSED.values()} == set(Defect)


@pytest.mark.parametrize("packet", [QUOTE4, QUOTE6])
def test_raw_ip(packet: bytes) -> None:
    flow = decode(packet, LinkType.RAW_IP)
    assert (flow.problem, flow.dport, flow.source_mac) == (None, 51820, None)
    assert decode(packet + b"\0", LinkType.RAW_IP).problem is Defect.TRAILER
    assert decode(b"\x81\0" + packet, LinkType.RAW_IP) == Flow(
        0, payload=b"\x81\0" + packet, problem=Defect.IP_VERSION
    )
    assert decode(b"", LinkType.RAW_IP).problem is Defect.IP_HEADER


VALID = [frame for frame, _ in UNDERSTOOD.values()] + list(CARRIED.values())


@pytest.mark.parametrize("frame", VALID, ids=[*UNDERSTOOD, *CARRIED])
def test_a_cut_frame_says_the_same_or_has_a_problem(frame: bytes) -> None:
    whole = decode(frame)
    for length in range(len(frame)):
        cut = decode(frame[:length])
        assert cut.problem is not None or cut == whole, length


@pytest.mark.parametrize("frame", VALID, ids=[*UNDERSTOOD, *CARRIED])
def test_bytes_behind_a_frame_are_a_problem(frame: bytes) -> None:
    assert decode(frame + b"x").problem is not None
    assert decode(frame + bytes(64)).problem is not None


@given(st.binary(max_size=200), st.sampled_from(LinkType))
def test_never_raises(frame: bytes, link_type: LinkType) -> None:
    flow = decode(frame, link_type)
    assert isinstance(hash(flow), int)


@given(st.data(), st.sampled_from(VALID))
def test_never_raises_on_damaged_frames(data: st.DataObject, frame: bytes) -> None:
    damaged = bytearray(frame)
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    for flow in (decode(bytes(damaged)), decode(bytes(damaged[14:]), LinkType.RAW_IP)):
        assert isinstance(hash(flow), int)

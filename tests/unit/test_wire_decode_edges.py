"""Each rule of the frame decoder just on this side of its limit and just on the other.

The cases came from changing every comparison and number of the decoder by one and looking which
change no test noticed. Not covered: limits that the frames of `test_wire_decode.py` touch already.
"""

from struct import pack

import pytest
from wire_frames import (
    ARP,
    HOP_BY_HOP,
    MAC_A,
    MLD2,
    QUOTE4,
    QUOTE6,
    TARGET,
    ethernet,
    frame4,
    frame6,
    icmp,
    ipv4,
    ipv6,
    tcp,
    udp,
)

from netchain.wire.decode import decode
from netchain.wire.flow import Defect, LinkType

TAG = bytes.fromhex("81000001")
PAD = bytes([60, 0, 1, 4, 0, 0, 0, 0])
"""Destination options of one PadN, before more of them."""


def nested(depth: int) -> bytes:
    packet = QUOTE4
    for _ in range(depth):
        packet = ipv4(packet, 4)
    return ethernet(packet)


def options6(*options: int) -> bytes:
    return frame6(bytes([17, 0, *options]) + udp(), 0)


def fragment6(position: int, header: int = 17) -> bytes:
    return frame6(pack("!BBHI", header, 0, position, 9) + udp(), 44)


def dccp(offset: int, extended: int, size: int) -> bytes:
    return frame4((pack("!HHBBHB", 1, 2, offset, 0, 0, extended) + bytes(size))[:size], 33)


def error4(words: int, quoted: bytes, kind: int = 11) -> bytes:
    return frame4(icmp(kind, 0, bytes([0, words, 0, 0]), quoted), 1)


def error6(units: int, quoted: bytes, kind: int = 3) -> bytes:
    return frame6(icmp(kind, 0, bytes([units, 0, 0, 0]), quoted), 58)


def padded(packet: bytes, size: int) -> bytes:
    return packet + bytes(size - len(packet))


MLD_QUERY = icmp(130, 0, payload=bytes(20))
EDGES: dict[str, tuple[bytes, Defect | None]] = {
    "bare link header": (bytes(12) + b"\x08\0", Defect.IP_HEADER),
    "four tags": (ethernet(QUOTE4, tags=TAG * 4), None),
    "length 0x5ff": (ethernet(bytes(46), 0x05FF), Defect.LLC),
    "ethertype 0x600": (ethernet(bytes(46), 0x0600), Defect.ETHERTYPE),
    "padding up to 60": (padded(frame4(udp(b"")), 60), None),
    "padding up to 64 with a tag": (padded(ethernet(ipv4(udp(b"")), tags=TAG), 64), None),
    "padding up to 65 with a tag": (padded(ethernet(ipv4(udp(b"")), tags=TAG), 65), Defect.TRAILER),
    "padded ARP": (padded(ARP, 60), None),
    "four packets deep": (nested(4), None),
    "five packets deep": (nested(5), Defect.DEPTH),
    "IPv4 header alone": (frame4(b"", 253), None),
    "IPv6 header alone": (frame6(b"", 59), None),
    "IPv4 header with options alone": (frame4(b"", 253, options=bytes([1, 1, 1, 1])), None),
    "IPv4 longer by one": (frame4(b"x", 253, total=22), Defect.IP_LENGTH),
    "IPv6 longer by one": (frame6(b"x", 59, length=2), Defect.IP_LENGTH),
    "IPv4 option up to the end": (frame4(b"", 253, options=bytes([7, 4, 0, 0])), None),
    "IPv4 option of length 2": (frame4(b"", 253, options=bytes([7, 2, 0, 0])), None),
    "IPv4 option beyond the end": (frame4(b"", 253, options=bytes([7, 5, 0, 0])), Defect.OPTIONS),
    "IPv4 option without length": (frame4(b"", 253, options=bytes([1, 1, 1, 7])), Defect.OPTIONS),
    "IPv4 option without length in front of 4": (
        frame4(b"\x04\0\0\0", 253, options=bytes([1, 1, 1, 7])), Defect.OPTIONS,
    ),
    "IPv4 end in the middle": (frame4(b"", 253, options=bytes([1, 0, 0, 0])), None),
    "16 extensions": (frame6(PAD * 15 + b"\x11" + PAD[1:] + udp(), 60), None),
    "extension up to the end": (frame6(b"\x3b" + PAD[1:], 60), None),
    "extension cut to 7 bytes": (frame6(PAD[:7], 60), Defect.EXTENSION),
    "extension of 16 bytes in 15": (
        frame6(bytes([59, 1, 1, 12]) + bytes(11), 60), Defect.EXTENSION,
    ),
    "extension of 16 bytes": (frame6(bytes([59, 1, 1, 12]) + bytes(12), 60), None),
    "AH of 12 bytes in 12": (frame6(bytes([59, 1]) + bytes(10), 51), None),
    "AH of 12 bytes in 11": (frame6(bytes([59, 1]) + bytes(9), 51), Defect.EXTENSION),
    "fragment header in 8 bytes": (frame6(pack("!BBHI", 59, 0, 0, 9), 44), None),
    "Pad1 and options": (options6(0, 0, 5, 2, 0, 0), None),
    "Pad1 only": (options6(0, 0, 0, 0, 0, 0), None),
    "PadN up to the end": (options6(5, 2, 0, 0, 1, 0), None),
    "data at the start of PadN": (options6(1, 4, 1, 0, 0, 0), Defect.OPTIONS),
    "data at the end of PadN": (options6(1, 4, 0, 0, 0, 1), Defect.OPTIONS),
    "option without length": (options6(0, 0, 0, 0, 0, 5), Defect.OPTIONS),
    "option longer by one": (options6(5, 5, 0, 0, 0, 0), Defect.OPTIONS),
    "UDP header alone": (frame4(udp(b"")), None),
    "UDP length 7": (frame4(udp(b"", length=7)), Defect.TRANSPORT_LENGTH),
    "UDP header cut to 7 bytes": (frame4(udp(b"")[:7]), Defect.TRANSPORT_HEADER),
    "three bytes of TCP": (frame4(b"abc", 6), Defect.TRANSPORT_HEADER),
    "TCP header cut to 19 bytes": (frame4(tcp()[:19], 6), Defect.TRANSPORT_HEADER),
    "TCP header of 24 bytes": (frame4(tcp(bytes(4), words=6), 6), None),
    "TCP header of 24 bytes in 23": (frame4(tcp(bytes(3), words=6), 6), Defect.TRANSPORT_HEADER),
    "UDP-Lite coverage 0": (frame4(udp(length=0), 136), None),
    "UDP-Lite coverage 1": (frame4(udp(length=1), 136), Defect.TRANSPORT_LENGTH),
    "UDP-Lite coverage of all": (frame4(udp(length=12), 136), None),
    "UDP-Lite coverage of more": (frame4(udp(length=13), 136), Defect.TRANSPORT_LENGTH),
    "UDP-Lite first fragment": (frame4(udp(length=99), 136, fragment=0x2000), None),
    "UDP-Lite header cut to 7 bytes": (frame4(udp()[:7], 136), Defect.TRANSPORT_HEADER),
    "UDP-Lite header alone": (frame4(udp(b"", length=8), 136), None),
    "SCTP header": (frame4(bytes(12), 132), None),
    "SCTP header cut to 11 bytes": (frame4(bytes(11), 132), Defect.TRANSPORT_HEADER),
    "DCCP header": (dccp(3, 0, 12), None),
    "DCCP header cut to 11 bytes": (dccp(3, 0, 11), Defect.TRANSPORT_HEADER),
    "DCCP offset 2": (dccp(2, 0, 12), Defect.TRANSPORT_HEADER),
    "DCCP offset beyond the packet": (dccp(4, 0, 15), Defect.TRANSPORT_HEADER),
    "DCCP long header, offset 3": (dccp(3, 1, 16), Defect.TRANSPORT_HEADER),
    "DCCP long header, offset 4": (dccp(4, 1, 16), None),
    "ICMP of 8 bytes": (frame4(icmp(8, 0), 1), None),
    "ICMPv6 of 8 bytes": (frame6(icmp(128, 0), 58), None),
    "ICMPv6 of 7 bytes": (frame6(icmp(128, 0)[:7], 58), Defect.ICMP),
    "quote up to the end": (error4(32, padded(QUOTE4, 128)), None),
    "quote beyond the end": (error4(32, padded(QUOTE4, 127)), Defect.ICMP),
    "quote padded to 128": (error4(0, padded(QUOTE4, 128)), None),
    "quote padded to 129": (error4(0, padded(QUOTE4, 129)), Defect.TRAILER),
    "quote with data as padding": (error4(0, QUOTE4 + b"x"), Defect.TRAILER),
    "length in a message without one": (error4(32, QUOTE4, kind=5), None),
    "IPv6 quote up to the end": (error6(16, padded(QUOTE6, 128) + b"ext"), None),
    "IPv6 quote beyond the end": (error6(16, padded(QUOTE6, 127)), Defect.ICMP),
    "length in too big": (error6(16, QUOTE6, kind=2), None),
    "quoted IPv6 cut in a header": (error6(0, QUOTE6[:47]), Defect.TRANSPORT_HEADER),
    "quoted IPv6 with 8 bytes": (error6(0, QUOTE6[:48]), None),
    "quoted TCP with 8 bytes": (error4(0, ipv4(tcp(b"x" * 9), 6)[:28]), None),
    "quoted TCP with options cut": (error4(0, ipv4(tcp(bytes(20), words=9), 6)[:40]), None),
    "quoted NS cut": (error6(0, ipv6(icmp(135, 0, payload=TARGET), 58)[:48]), None),
    "solicitation with target": (frame6(icmp(135, 0, payload=TARGET), 58), None),
    "router solicitation": (frame6(icmp(133, 0), 58), None),
    "router advertisement": (frame6(icmp(134, 0, payload=bytes(8)), 58), None),
    "router advertisement cut": (frame6(icmp(134, 0, payload=bytes(7)), 58), Defect.NDP),
    "redirect cut": (frame6(icmp(137, 0, payload=bytes(31)), 58), Defect.NDP),
    "redirect without options": (frame6(icmp(137, 0, payload=bytes(32)), 58), None),
    "NDP option beyond the end": (
        frame6(icmp(133, 0, payload=bytes([1, 2]) + MAC_A), 58), Defect.NDP,
    ),
    "NDP option without length": (
        frame6(icmp(133, 0, payload=bytes([1, 1]) + MAC_A + b"\1"), 58), Defect.NDP,
    ),
    "advertisement with target": (frame6(icmp(136, 0, payload=TARGET), 58), None),
    "advertisement cut": (frame6(icmp(136, 0, payload=TARGET[:15]), 58), Defect.NDP),
    "redirect that quotes a part": (
        frame6(icmp(137, 0, payload=bytes(32) + bytes([4, 7]) + bytes(6) + QUOTE6[:48]), 58), None,
    ),
    "two NDP options": (frame6(icmp(133, 0, payload=(bytes([1, 1]) + MAC_A) * 2), 58), None),
    "option 4 outside a redirect": (
        frame6(icmp(136, 0, payload=TARGET + bytes([4, 1]) + bytes(6)), 58), None,
    ),
    "MLD query": (frame6(HOP_BY_HOP + MLD_QUERY, 0), None),
    "MLD query longer by one": (frame6(HOP_BY_HOP + MLD_QUERY[:-1], 0), Defect.MLD),
    "MLD report": (frame6(HOP_BY_HOP + icmp(131, 0, payload=TARGET), 0), None),
    "MLD report with data": (frame6(icmp(131, 0, payload=TARGET + b"leak"), 58), Defect.MLD),
    "MLD done cut": (frame6(icmp(132, 0, payload=TARGET[:15]), 58), Defect.MLD),
    "MLD query of version 1": (frame6(icmp(130, 0, payload=TARGET), 58), None),
    "MLD query with a source": (
        frame6(icmp(130, 0, payload=TARGET + b"\0\0\0\1" + TARGET), 58), None,
    ),
    "MLD query without its source": (
        frame6(icmp(130, 0, payload=TARGET + b"\0\0\0\1"), 58), Defect.MLD,
    ),
    "MLD report of none": (frame6(icmp(143, 0), 58), None),
    "MLD record with a source": (
        frame6(MLD2[:11] + b"\1" + MLD2[12:] + TARGET, 58), None,
    ),
    "MLD record with auxiliary data": (frame6(MLD2[:9] + b"\1" + MLD2[10:], 58), Defect.MLD),
    "MLD record cut": (frame6(MLD2[:-1], 58), Defect.MLD),
    "GRE header cut": (frame4(b"\0\0\x08", 47), Defect.TRANSPORT_HEADER),
    "GRE option cut": (frame4(b"\x20\0\x08\0abc", 47), Defect.TRANSPORT_HEADER),
    "GRE with all options": (frame4(b"\xb0\0\x08\0" + bytes(12) + QUOTE4, 47), None),
    "GRE with a reserved bit": (frame4(b"\x08\0\x08\0" + QUOTE4, 47), Defect.TUNNEL),
    "GRE of version 1": (frame4(b"\0\1\x08\0" + QUOTE4, 47), Defect.TUNNEL),
    "GRE alone": (frame4(b"\0\0\x08\0", 47), Defect.IP_HEADER),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edge(name: str) -> None:
    frame, problem = EDGES[name]
    assert decode(frame).problem is problem


def test_lengths_of_lone_headers() -> None:
    """A cut IPv6 header is called so, not one of the wrong version."""
    for packet in (ipv4(b""), ipv6(b"")):
        assert decode(packet[:-1], LinkType.RAW_IP).problem is Defect.IP_HEADER
    assert decode(bytes(12) + b"\x86\xdd").problem is Defect.IP_HEADER


def test_fragment_fields() -> None:
    """The three reserved bits and the flag of IPv6 do not make an offset, one unit does."""
    flows = [decode(fragment6(position)) for position in (7, 8, 6)]
    assert [(flow.fragment, flow.more_fragments) for flow in flows] == [
        (False, True), (True, False), (False, False),
    ]  # fmt: skip
    flows = [decode(frame4(udp(), fragment=word)) for word in (1, 0x2001, 0x4000, 0x8000)]
    assert [(flow.fragment, flow.more_fragments) for flow in flows] == [
        (True, False), (True, True), (False, False), (False, False),
    ]  # fmt: skip


def test_option_types() -> None:
    assert decode(options6(0, 0, 5, 2, 0, 0)).options == (5,)
    assert decode(options6(5, 0, 1, 0, 201, 0)).options == (5, 201)
    assert decode(frame4(b"", 253, options=bytes([7, 2, 1, 131, 3, 0, 0, 0]))).options == (7, 131)


def test_targets_of_neighbour_discovery() -> None:
    flows = {
        kind: decode(frame6(icmp(kind, 0, payload=TARGET * 2), 58)) for kind in range(133, 139)
    }
    targets = {kind for kind, flow in flows.items() if flow.ndp_target == TARGET}
    assert targets == {135, 136, 137}


def test_payloads_start_behind_the_header() -> None:
    assert decode(dccp(5, 1, 24)).payload == bytes(4)
    assert decode(frame4(tcp(b"optsdata", words=6), 6)).payload == b"data"
    assert decode(frame6(icmp(128, 0, payload=b"ping"), 58)).payload == b"ping"
    assert decode(frame4(tcp(b"data", words=15), 6)).payload == b"data"


def test_which_icmp_messages_quote_a_packet() -> None:
    """Of the others nothing is looked for, of these nothing is overlooked."""
    quoting = {k for k in range(256) if decode(frame4(icmp(k, 0, payload=QUOTE4), 1)).inner}
    assert quoting == {3, 4, 5, 11, 12}
    with_length = {k for k in quoting if decode(error4(99, QUOTE4, k)).problem is Defect.ICMP}
    assert with_length == {3, 11, 12}
    quoting = {k for k in range(256) if decode(frame6(icmp(k, 0, payload=QUOTE6), 58)).inner}
    assert quoting == {1, 2, 3, 4}
    with_length = {k for k in quoting if decode(error6(99, QUOTE6, k)).problem is Defect.ICMP}
    assert with_length == {1, 3}


def test_what_is_readable_beside_a_problem() -> None:
    ports = [decode(frame4(bytes([0, 1, 0, 2])[:size])) for size in (3, 4)]
    assert [(flow.sport, flow.dport) for flow in ports] == [(None, None), (1, 2)]
    assert decode(frame4(b"payload", first=0x44)).payload == b"payload"

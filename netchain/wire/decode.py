"""Decode a frame into a `Flow`: the entrance, and the link layer.

Theory of operation: one pass from the outside in, with `struct.unpack_from` at checked offsets.
Every length in a header is compared with the bytes that are really there; a length that lies, a
header that is cut short, a trailer that is more than padding or a layer that is not known sets
`Flow.problem`, and what could be read stays readable beside it. Checksums are not checked: a frame
with a wrong one is on the wire all the same, and captures on the sending side hold unfinished ones.
Nothing here raises, whatever the bytes are.

    decode              this file          Ethernet II, 802.1Q and QinQ tags, ARP, raw IP
    decode_ip           network layer      IPv4 with options, IPv6 with extension headers
    decode_transport    what IP carries    TCP, UDP, UDP-Lite, SCTP, DCCP, ICMP, GRE, tunnels
    decode_icmpv6       ... and ICMPv6     errors, neighbour discovery, multicast listeners

Tunnels inside UDP or TCP (WireGuard, VXLAN, Teredo ...) are payload.
"""

from struct import Struct

from netchain.wire.decode_ip import read_ipv4, read_ipv6
from netchain.wire.draft import (
    ETHERTYPE_BRIDGED,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    RFC4884_QUOTE,
    Draft,
)
from netchain.wire.flow import Defect, Flow, LinkType

MAX_DEPTH = 4
"""Packets inside packets that are followed; a deeper one is a problem."""

_ETHERTYPE_ARP = 0x0806
_VLAN_TAGS = frozenset({0x8100, 0x88A8})
"""802.1Q and 802.1ad."""
_MAX_TAGS = 4
_LOWEST_ETHERTYPE = 0x0600
"""Below it the field is an 802.3 length (IEEE 802.3, 3.2.6)."""
_SHORTEST_FRAME = 60
"""Ethernet pads to 64 bytes with, 60 without the frame check sequence."""
_VERSIONS = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}

_ETHERNET = Struct("!6s6sH").unpack_from
_U16 = Struct("!H").unpack_from
_ARP = Struct("!HHBBH6s4s6s4s").unpack_from
_ARP_ETHERNET_IPV4 = (1, ETHERTYPE_IPV4, 6, 4)


def decode(frame: bytes, link_type: LinkType = LinkType.ETHERNET) -> Flow:
    """What `frame`, as captured on a link of `link_type`, says. Never raises."""
    draft = Draft()
    if link_type is LinkType.ETHERNET:
        _read_ethernet(draft, frame, 0, len(frame))
    else:
        _read_raw_ip(draft, frame)
    return _finish(draft, frame, MAX_DEPTH)


def _finish(draft: Draft, frame: bytes, depth: int) -> Flow:
    """Decode the packet that `draft` carries, if any, at most `depth` levels down."""
    carried = draft.carried
    if carried is None:
        return draft.flow(None)
    if depth == 0:
        draft.fail(Defect.DEPTH)
        return draft.flow(None)
    ethertype, start, end, quoted = carried
    inner = Draft()
    inner.quoted = quoted
    if ethertype == ETHERTYPE_BRIDGED:
        _read_ethernet(inner, frame, start, end)
    else:
        inner.padded_to = start + RFC4884_QUOTE if quoted else 0
        _read_network(inner, frame, ethertype, start, end)
    return draft.flow(_finish(inner, frame, depth - 1))


def _read_raw_ip(draft: Draft, frame: bytes) -> None:
    ethertype = _VERSIONS.get(frame[0] >> 4) if frame else None
    if ethertype is None:
        draft.fail(Defect.IP_VERSION if frame else Defect.IP_HEADER)
        draft.payload = frame
    else:
        _read_network(draft, frame, ethertype, 0, len(frame))


def _read_ethernet(draft: Draft, frame: bytes, start: int, end: int) -> None:
    if end - start < 14:
        draft.fail(Defect.LINK_HEADER)
        draft.payload = frame[start:end]
        return
    draft.destination_mac, draft.source_mac, ethertype = _ETHERNET(frame, start)
    at = start + 14
    while ethertype in _VLAN_TAGS:
        if end - at < 4 or len(draft.vlan) == _MAX_TAGS:
            draft.ethertype = ethertype
            draft.fail(Defect.LINK_HEADER)
            draft.payload = frame[at:end]
            return
        draft.vlan += (_U16(frame, at)[0] & 0x0FFF,)
        ethertype = _U16(frame, at + 2)[0]
        at += 4
    # A tag that a card took off and the tap put back lengthens a frame that was padded without it.
    draft.padded_to = at + _SHORTEST_FRAME - 14
    _read_network(draft, frame, ethertype, at, end)


def _read_network(draft: Draft, frame: bytes, ethertype: int, start: int, end: int) -> None:
    draft.ethertype = ethertype
    if ethertype == ETHERTYPE_IPV4:
        read_ipv4(draft, frame, start, end)
    elif ethertype == ETHERTYPE_IPV6:
        read_ipv6(draft, frame, start, end)
    elif ethertype == _ETHERTYPE_ARP:
        _read_arp(draft, frame, start, end)
    else:
        draft.fail(Defect.LLC if ethertype < _LOWEST_ETHERTYPE else Defect.ETHERTYPE)
        draft.payload = frame[start:end]


def _read_arp(draft: Draft, frame: bytes, start: int, end: int) -> None:
    """ARP for IPv4 over Ethernet (RFC 826)."""
    if end - start < 28:
        draft.fail(Defect.ARP)
        draft.payload = frame[start:end]
        return
    *form, operation, _, source, _, destination = _ARP(frame, start)
    if tuple(form) != _ARP_ETHERNET_IPV4:
        draft.fail(Defect.ARP)
        draft.payload = frame[start:end]
        return
    draft.arp_operation, draft.source, draft.destination = operation, source, destination
    draft.check_trailer(frame, start + 28, end)

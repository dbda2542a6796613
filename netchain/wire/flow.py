"""What a frame says: the typed result of decoding one frame.

Theory of operation: a frame on a link is decoded once (`netchain.wire.decode`) into a `Flow`, and
everything after that (the judge, reports, the demo) looks at the `Flow` only. A `Flow` keeps just
what an allow-list needs: who talks to whom, by which protocol, and every feature of the headers by
which a packet could differ from the plain one that it resembles (tags, options, extension headers,
fragments, packets inside packets). Whatever could not be understood is named in `problem`; a judge
treats any problem as a leak, and so never has to know what the decoder could not read.

A `Flow` is a named tuple: immutable, hashable, and built in 0.4 us where a frozen data class of
this size takes 3 us, per frame.
"""

from enum import Enum, StrEnum
from typing import NamedTuple


class LinkType(Enum):
    """How the frames of a link begin."""

    ETHERNET = "ethernet"
    """With an Ethernet header (veth, bridges, tap devices, network cards, loopback)."""
    RAW_IP = "raw-ip"
    """With the IP header (tun devices, WireGuard, ipip, sit)."""


class Defect(StrEnum):
    """Why a frame could not be understood; the value is a clause for people."""

    LINK_HEADER = "a link header that is cut short or has too many tags"
    LLC = "an 802.3 frame with an LLC header"
    ETHERTYPE = "an ethertype that is neither IP nor ARP"
    ARP = "an ARP packet that is not IPv4 over Ethernet, or is cut short"
    IP_VERSION = "the IP version does not fit the ethertype"
    IP_HEADER = "an IP header that is cut short or has an impossible length"
    IP_LENGTH = "the IP length does not fit the frame"
    TRAILER = "bytes behind the packet that are not Ethernet padding"
    OPTIONS = "IP options that are malformed, or padding that carries data"
    EXTENSION = "IPv6 extension headers that are cut short or too many"
    TRANSPORT_HEADER = "a transport header that is cut short or has an impossible length"
    TRANSPORT_LENGTH = "the transport length does not fit the packet"
    ICMP = "an ICMP message that is cut short or has an impossible length"
    NDP = "a neighbour discovery message that is malformed"
    MLD = "a multicast listener message that is malformed"
    TUNNEL = "a tunnelled packet of a kind that is not decoded"
    DEPTH = "packets nested too deeply"


class Flow(NamedTuple):
    """One decoded frame, or one packet found inside another.

    Addresses are packed: 4 bytes (IPv4), 16 bytes (IPv6), 6 bytes (MAC). Numbers are in host order.
    A field that does not apply is None or empty. A judge that compares protocol and ports must also
    look at `options`, `extensions`, `vlan`, `fragment`, `more_fragments` and `inner`, for each of
    them makes another packet of the one that the ports describe.
    """

    ethertype: int
    """Behind all VLAN tags: 0x0800, 0x86dd, 0x0806, ...; of a packet without a link header, what
    its IP version stands for; 0 where nothing could be read."""
    source: bytes | None = None
    """Address in the IP header; of ARP the sender's protocol address."""
    destination: bytes | None = None
    """Address in the IP header, which is only the next stop where source routing is used; of ARP
    the target's protocol address."""
    protocol: int | None = None
    """IP protocol; of IPv6 the first header that is no extension header (AH is walked through in
    IPv6 only, like Linux does; ESP ends the walk). Of a later IPv6 fragment whatever the sender
    wrote: only the first fragment's value counts (RFC 8200, section 4.5)."""
    sport: int | None = None
    """Source port of TCP, UDP, UDP-Lite, SCTP and DCCP."""
    dport: int | None = None
    tcp_flags: int | None = None
    """All 12 bits between data offset and window; the reserved ones are the highest (RFC 9293).
    None in a quoted packet of which only the ports are left."""
    icmp_type: int | None = None
    """Of ICMP (protocol 1) and ICMPv6 (protocol 58)."""
    icmp_code: int | None = None
    fragment: bool = False
    """A fragment with an offset above 0: there is no transport header to read."""
    inner: "Flow | None" = None
    """The packet quoted by an ICMP error or an NDP redirect, or carried by IP-in-IP, 6in4 or GRE.
    A problem of it is repeated as the problem of the outer flow."""
    payload: bytes = b""
    """What follows the transport header (8 bytes of ICMP), up to the end of the IP packet; or what
    follows the last header that could be read."""
    problem: Defect | None = None
    """Why the frame could not be fully understood: the first reason found."""
    ndp_target: bytes | None = None
    """Target of a neighbour solicitation, a neighbour advertisement or a redirect (RFC 4861)."""
    more_fragments: bool = False
    """A fragment that is not the last one; together with `fragment` False: the first."""
    options: tuple[int, ...] = ()
    """Types of IPv4 options, or of IPv6 hop-by-hop and destination options, without padding. Source
    routing in IPv4 is 131 and 137 (RFC 791); router alert is 148, in IPv6 5."""
    extensions: tuple[int, ...] = ()
    """IPv6 extension headers in order: 0 hop-by-hop, 43 routing, 44 fragment, 51 AH, 60
    destination options."""
    arp_operation: int | None = None
    """1 request, 2 reply (RFC 826)."""
    vlan: tuple[int, ...] = ()
    """VLAN ids from the outside in; a priority tag has id 0. Empty: the frame is untagged."""
    source_mac: bytes | None = None
    destination_mac: bytes | None = None

"""A `Flow` while the decoders fill it in, layer by layer.

Theory of operation: the decoders of the layers (`decode`, `decode_ip`, `decode_transport`) write
into one `Draft` per packet. A packet found inside another is not followed by the layer that found
it: it leaves a `Carried` note, and `decode` starts a new draft there. So no layer needs to know the
layers above it, and the depth of nesting is counted in one place.
"""

from typing import NamedTuple

from netchain.wire.flow import Defect, Flow

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_BRIDGED = 0x6558
"""Transparent Ethernet bridging: how GRE names a whole Ethernet frame (RFC 1701)."""

RFC4884_QUOTE = 128
"""Bytes to which a quoted packet is padded with zeros (RFC 4884, section 4)."""


class Carried(NamedTuple):
    """Where in the frame a packet inside the packet lies: `frame[start:end]`."""

    ethertype: int
    start: int
    end: int
    quoted: bool
    """The packet may be cut short, as in an ICMP error."""


class Draft:
    """The fields of a `Flow`, unset ones still at the class's defaults (cheap to make)."""

    ethertype: int = 0
    source: bytes | None = None
    destination: bytes | None = None
    protocol: int | None = None
    sport: int | None = None
    dport: int | None = None
    tcp_flags: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    fragment: bool = False
    payload: bytes = b""
    problem: Defect | None = None
    ndp_target: bytes | None = None
    more_fragments: bool = False
    options: tuple[int, ...] = ()
    extensions: tuple[int, ...] = ()
    arp_operation: int | None = None
    vlan: tuple[int, ...] = ()
    source_mac: bytes | None = None
    destination_mac: bytes | None = None

    carried: Carried | None = None
    quoted: bool = False
    padded_to: int = 0
    """Offset up to which zeros behind the packet are padding of the link."""

    def fail(self, problem: Defect) -> None:
        """Record why the packet cannot be understood; the first reason stays."""
        if self.problem is None:
            self.problem = problem

    def check_trailer(self, frame: bytes, stop: int, end: int) -> None:
        """Judge `frame[stop:end]`, the bytes behind the packet: padding of the link, or a problem.

        Padding is all zeros and only there to reach the shortest frame; anything else could carry
        data past every filter that believes the length in the header.
        """
        if stop < end and (end > self.padded_to or any(frame[stop:end])):
            self.fail(Defect.TRAILER)

    def flow(self, inner: Flow | None) -> Flow:
        """The finished flow; a problem of `inner` becomes its own unless it has one."""
        problem = self.problem
        if problem is None and inner is not None:
            problem = inner.problem
        return Flow(
            self.ethertype,
            self.source,
            self.destination,
            self.protocol,
            self.sport,
            self.dport,
            self.tcp_flags,
            self.icmp_type,
            self.icmp_code,
            self.fragment,
            inner,
            self.payload,
            problem,
            self.ndp_target,
            self.more_fragments,
            self.options,
            self.extensions,
            self.arp_operation,
            self.vlan,
            self.source_mac,
            self.destination_mac,
        )

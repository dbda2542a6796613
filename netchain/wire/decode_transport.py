"""What IP carries: transport headers, ICMP, and packets inside packets.

Theory of operation: `read_upper` finds the reader of a protocol number. A reader checks that the
header is complete and that its lengths fill the packet exactly, records the ports or types, cuts
the payload, and notes where a quoted or tunnelled packet starts. Of a quoted packet only the first
8 bytes need to be there (RFC 792); the first fragment of a packet must hold the whole header
(RFC 7112), but not the whole payload. A protocol without a reader is payload: an allow-list that
does not name its number refuses it.
"""

from collections.abc import Callable
from struct import Struct

from netchain.wire.decode_icmpv6 import read_icmpv6
from netchain.wire.draft import (
    ETHERTYPE_BRIDGED,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    Carried,
    Draft,
)
from netchain.wire.flow import Defect

_PORTS = Struct("!HH").unpack_from
_TCP = Struct("!HH8xH").unpack_from
_U16 = Struct("!H").unpack_from

_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
"""Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792)."""
_ICMP_WITH_LENGTH = frozenset({3, 11, 12})
"""Those whose sixth byte may give the length of the quote, in words (RFC 4884)."""
_GRE_PAYLOADS = frozenset({ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_BRIDGED})


def read_upper(draft: Draft, frame: bytes, protocol: int, start: int, stop: int) -> None:
    """Read what IP calls `protocol` from `frame[start:stop]`, the rest of the IP packet."""
    reader = _READERS.get(protocol)
    if reader is None:
        draft.payload = frame[start:stop]
    else:
        reader(draft, frame, start, stop)


def _read_ports(draft: Draft, frame: bytes, start: int, stop: int, header: int) -> bool:
    """Read the ports; False if the packet ends there, or if its `header` bytes are cut short."""
    room = stop - start
    if room >= 4:
        draft.sport, draft.dport = _PORTS(frame, start)
    if room >= header:
        return True
    if room < 8 or not draft.quoted:
        draft.fail(Defect.TRANSPORT_HEADER)
        draft.payload = frame[start:stop]
    return False


def _cut_header(draft: Draft, frame: bytes, start: int, stop: int, size: int, least: int) -> None:
    """Cut the payload behind a header that says itself to be `size` bytes long."""
    if size < least or (start + size > stop and not draft.quoted):
        draft.fail(Defect.TRANSPORT_HEADER)
        size = least
    draft.payload = frame[start + size : stop]


def _read_tcp(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    if _read_ports(draft, frame, start, stop, 20):
        _, _, flags = _TCP(frame, start)
        draft.tcp_flags = flags & 0x0FFF
        _cut_header(draft, frame, start, stop, (flags >> 12) * 4, 20)


def _read_udp(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """UDP (RFC 768); a length that leaves bytes over (RFC 9868) is a problem."""
    if not _read_ports(draft, frame, start, stop, 8):
        return
    length = _U16(frame, start + 4)[0]
    room = stop - start
    partial = draft.quoted or draft.more_fragments
    if length < room or (length > room and not partial):
        draft.fail(Defect.TRANSPORT_LENGTH)
    draft.payload = frame[start + 8 : stop]


def _read_udp_lite(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """UDP-Lite (RFC 3828): a checksum coverage where UDP has its length."""
    if not _read_ports(draft, frame, start, stop, 8):
        return
    coverage = _U16(frame, start + 4)[0]
    partial = draft.quoted or draft.more_fragments
    if 0 < coverage < 8 or (coverage > stop - start and not partial):
        draft.fail(Defect.TRANSPORT_LENGTH)
    draft.payload = frame[start + 8 : stop]


def _read_sctp(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """The common header of SCTP (RFC 9260); the chunks are payload."""
    if _read_ports(draft, frame, start, stop, 12):
        draft.payload = frame[start + 12 : stop]


def _read_dccp(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """DCCP (RFC 4340): 12 bytes, 16 with long sequence numbers; options up to the data offset."""
    if _read_ports(draft, frame, start, stop, 12):
        least = 16 if frame[start + 8] & 1 else 12
        _cut_header(draft, frame, start, stop, frame[start + 4] * 4, least)


def _read_icmp(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """ICMP (RFC 792); of an error also the packet that it quotes."""
    if stop - start < 8:
        draft.fail(Defect.ICMP)
        draft.payload = frame[start:stop]
        return
    kind = frame[start]
    draft.icmp_type, draft.icmp_code = kind, frame[start + 1]
    draft.payload = frame[start + 8 : stop]
    if kind in _ICMP_ERRORS:
        words = frame[start + 5] if kind in _ICMP_WITH_LENGTH else 0
        end = start + 8 + words * 4 if words else stop
        if end > stop and not draft.quoted:
            draft.fail(Defect.ICMP)
        draft.carried = Carried(ETHERTYPE_IPV4, start + 8, min(end, stop), quoted=True)


def _read_gre(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """GRE (RFC 2784, RFC 2890): optional checksum, key and sequence number, then a packet."""
    if stop - start < 4:
        draft.fail(Defect.TRANSPORT_HEADER)
        draft.payload = frame[start:stop]
        return
    flags, ethertype = _PORTS(frame, start)
    at = start + 4 + sum(4 for bit in (0x8000, 0x2000, 0x1000) if flags & bit)
    draft.payload = frame[at:stop]
    if at > stop:
        draft.fail(Defect.TRANSPORT_HEADER)
    elif flags & 0x4FFF or ethertype not in _GRE_PAYLOADS:  # source routes, PPTP, other packets
        draft.fail(Defect.TUNNEL)
    else:
        draft.carried = Carried(ethertype, at, stop, draft.quoted)


def _read_ipv4_in_ip(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """IPv4 in IP (RFC 2003)."""
    draft.payload = frame[start:stop]
    draft.carried = Carried(ETHERTYPE_IPV4, start, stop, draft.quoted)


def _read_ipv6_in_ip(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """IPv6 in IP: 6in4 (RFC 4213) and IPv6 in IPv6 (RFC 2473)."""
    draft.payload = frame[start:stop]
    draft.carried = Carried(ETHERTYPE_IPV6, start, stop, draft.quoted)


_READERS: dict[int, Callable[[Draft, bytes, int, int], None]] = {
    1: _read_icmp,
    4: _read_ipv4_in_ip,
    6: _read_tcp,
    17: _read_udp,
    33: _read_dccp,
    41: _read_ipv6_in_ip,
    47: _read_gre,
    58: read_icmpv6,
    132: _read_sctp,
    136: _read_udp_lite,
}

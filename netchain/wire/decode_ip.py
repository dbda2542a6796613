"""The network layer of the decoder: IPv4 with its options, IPv6 with its extension headers.

Theory of operation: the header gives the addresses and the end of the packet; `_bounds` compares
that end with the bytes that are there, so that everything above reads up to the IP length and never
into Ethernet padding. Options and extension headers are walked one by one, their types recorded,
and a fragment stops the walk where there is no further header to read.
"""

from struct import Struct

from netchain.wire.decode_transport import read_upper
from netchain.wire.draft import Draft
from netchain.wire.flow import Defect

MAX_EXTENSIONS = 16
"""Extension headers that are walked; a packet with more is a problem."""

_IPV4 = Struct("!BxHxxHxBxx4s4s").unpack_from
_IPV6 = Struct("!BxxxHBx16s16s").unpack_from
_U16 = Struct("!H").unpack_from

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION})
"""What Linux walks through, too; mobility, HIP and Shim6 (135, 139, 140) count as protocols."""


def read_ipv4(draft: Draft, frame: bytes, start: int, end: int) -> None:
    """Read the IPv4 packet (RFC 791) that lies in `frame[start:end]`, and what it carries."""
    if end - start < 20 or frame[start] >> 4 != 4:
        _refuse(draft, frame, start, end, 4)
        return
    version, total, fragment, protocol, draft.source, draft.destination = _IPV4(frame, start)
    draft.protocol = protocol
    header = (version & 15) * 4
    at = start + header
    if header < 20 or at > end:
        draft.fail(Defect.IP_HEADER)
        draft.payload = frame[start + 20 : end]
        return
    stop = _bounds(draft, frame, at, start + total, end)
    if header > 20:
        _read_ipv4_options(draft, frame, start + 20, at)
    if fragment & 0x3FFF:
        draft.more_fragments = bool(fragment & 0x2000)
        draft.fragment = bool(fragment & 0x1FFF)
    if draft.fragment:
        draft.payload = frame[at:stop]
    else:
        read_upper(draft, frame, protocol, at, stop)


def read_ipv6(draft: Draft, frame: bytes, start: int, end: int) -> None:
    """Read the IPv6 packet (RFC 8200) that lies in `frame[start:end]`, and what it carries.

    A jumbogram (RFC 2675), whose length is 0, is a problem.
    """
    if end - start < 40 or frame[start] >> 4 != 6:
        _refuse(draft, frame, start, end, 6)
        return
    _, length, header, draft.source, draft.destination = _IPV6(frame, start)
    at = start + 40
    stop = _bounds(draft, frame, at, at + length, end)
    while header in _EXTENSIONS:
        size = _extension_size(frame, header, at, stop)
        if size == 0 or len(draft.extensions) == MAX_EXTENSIONS:
            draft.fail(Defect.EXTENSION)
            draft.payload = frame[at:stop]
            return
        draft.extensions += (header,)
        if header == _FRAGMENT:
            position = _U16(frame, at + 2)[0]
            draft.more_fragments = draft.more_fragments or bool(position & 1)
            draft.fragment = position > 7
        elif header in (_HOP_BY_HOP, _DESTINATION):
            _read_ipv6_options(draft, frame, at + 2, at + size)
        header = frame[at]
        at += size
        if draft.fragment:
            draft.protocol = header
            draft.payload = frame[at:stop]
            return
    draft.protocol = header
    read_upper(draft, frame, header, at, stop)


def _refuse(draft: Draft, frame: bytes, start: int, end: int, version: int) -> None:
    wrong = start < end and frame[start] >> 4 != version
    draft.fail(Defect.IP_VERSION if wrong else Defect.IP_HEADER)
    draft.payload = frame[start:end]


def _bounds(draft: Draft, frame: bytes, header_end: int, stop: int, end: int) -> int:
    """Where the packet really ends, given where its header says so (`stop`); within the frame."""
    if stop > end:
        if not draft.quoted:
            draft.fail(Defect.IP_LENGTH)
        return end
    if stop < header_end:
        draft.fail(Defect.IP_LENGTH)
        return end
    draft.check_trailer(frame, stop, end)
    return stop


def _extension_size(frame: bytes, header: int, at: int, stop: int) -> int:
    """Bytes of the extension header at `at`; 0 if it does not end before `stop`."""
    if stop - at < 8:
        return 0
    if header == _FRAGMENT:
        return 8
    units = frame[at + 1]  # of 8 bytes, less 1; of AH 4 bytes, less 2 (RFC 4302, 2.2)
    size = (units + 2) * 4 if header == _AUTHENTICATION else (units + 1) * 8
    return size if at + size <= stop else 0


def _read_ipv4_options(draft: Draft, frame: bytes, at: int, stop: int) -> None:
    while at < stop:
        kind = frame[at]
        if kind == 0:  # end of options: what follows is padding
            if any(frame[at:stop]):
                draft.fail(Defect.OPTIONS)
            return
        if kind == 1:  # no operation
            at += 1
            continue
        draft.options += (kind,)
        size = frame[at + 1] if at + 1 < stop else 0
        if size < 2 or at + size > stop:
            draft.fail(Defect.OPTIONS)
            return
        at += size


def _read_ipv6_options(draft: Draft, frame: bytes, at: int, stop: int) -> None:
    kinds = []
    while at < stop:
        kind = frame[at]
        if kind == 0:  # Pad1 has no length
            at += 1
            continue
        size = 2 + frame[at + 1] if at + 1 < stop else stop
        if at + size > stop:
            draft.fail(Defect.OPTIONS)
            break
        if kind != 1:
            kinds.append(kind)
        elif any(frame[at + 2 : at + size]):  # PadN must be zeros (RFC 4942, 2.1.9.5)
            draft.fail(Defect.OPTIONS)
        at += size
    draft.options += tuple(kinds)

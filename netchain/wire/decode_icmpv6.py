"""ICMPv6: errors with the packet they quote, neighbour discovery, multicast listeners.

Theory of operation: an error notes where its quoted packet lies. A neighbour discovery message is
its fixed part and a list of options that must fill the message exactly; a redirect may quote a
packet in an option of its own. Of a multicast listener message the lengths are checked, for its
records could carry anything otherwise.
"""

from struct import Struct

from netchain.wire.draft import ETHERTYPE_IPV6, Carried, Draft
from netchain.wire.flow import Defect

_U16 = Struct("!H").unpack_from

_ERRORS = frozenset({1, 2, 3, 4})
"""Unreachable, too big, time exceeded, parameter problem (RFC 4443)."""
_ERRORS_WITH_LENGTH = frozenset({1, 3})
"""Those whose fifth byte may give the length of the quote, in 8 bytes (RFC 4884)."""
_NDP_FIXED = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}
"""Bytes before the options: router solicitation, router advertisement, neighbour solicitation,
neighbour advertisement, redirect (RFC 4861, section 4)."""
_NDP_WITH_TARGET = frozenset({135, 136, 137})
_REDIRECTED_HEADER = 4
_MLD_QUERY, _MLD_REPORT, _MLD_DONE, _MLD2_REPORT = 130, 131, 132, 143
_MLD = frozenset({_MLD_QUERY, _MLD_REPORT, _MLD_DONE, _MLD2_REPORT})


def read_icmpv6(draft: Draft, frame: bytes, start: int, stop: int) -> None:
    """Read the ICMPv6 message in `frame[start:stop]`."""
    if stop - start < 8:
        draft.fail(Defect.ICMP)
        draft.payload = frame[start:stop]
        return
    kind = frame[start]
    draft.icmp_type, draft.icmp_code = kind, frame[start + 1]
    draft.payload = frame[start + 8 : stop]
    if kind in _ERRORS:
        _read_error(draft, frame, kind, start, stop)
    elif draft.quoted:
        return  # only a part of the message is there to be checked
    elif kind in _NDP_FIXED:
        _read_ndp(draft, frame, kind, start, stop)
    elif kind in _MLD and not _mld_fits(frame, kind, start, stop):
        draft.fail(Defect.MLD)


def _read_error(draft: Draft, frame: bytes, kind: int, start: int, stop: int) -> None:
    units = frame[start + 4] if kind in _ERRORS_WITH_LENGTH else 0
    end = start + 8 + units * 8 if units else stop
    if end > stop and not draft.quoted:
        draft.fail(Defect.ICMP)
    draft.carried = Carried(ETHERTYPE_IPV6, start + 8, min(end, stop), quoted=True)


def _read_ndp(draft: Draft, frame: bytes, kind: int, start: int, stop: int) -> None:
    at = start + _NDP_FIXED[kind]
    if at > stop:
        draft.fail(Defect.NDP)
        return
    if kind in _NDP_WITH_TARGET:
        draft.ndp_target = frame[start + 8 : start + 24]
    while at < stop:
        size = frame[at + 1] * 8 if at + 1 < stop else 0
        if size == 0 or at + size > stop:
            draft.fail(Defect.NDP)
            return
        if kind == 137 and frame[at] == _REDIRECTED_HEADER:
            draft.carried = Carried(ETHERTYPE_IPV6, at + 8, at + size, quoted=True)
        at += size


def _mld_fits(frame: bytes, kind: int, start: int, stop: int) -> bool:
    """Whether a message of MLD (RFC 2710) or MLDv2 (RFC 3810) is filled by what it announces."""
    if kind == _MLD2_REPORT:
        at = start + 8
        for _ in range(_U16(frame, start + 6)[0]):
            if at + 20 > stop or frame[at + 1]:  # auxiliary data: "must not" (RFC 3810, 5.2.11)
                return False
            at += 20 + 16 * int(_U16(frame, at + 2)[0])
        return at == stop
    if kind == _MLD_QUERY and stop - start >= 28:
        return stop - start == 28 + 16 * int(_U16(frame, start + 26)[0])
    return stop - start == 24

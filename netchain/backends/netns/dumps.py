"""What rtnetlink answers of a node: each question is asked and unpacked once (keeper's).

The answers are unpacked here and not by pyroute2, which takes many times as long: a chain of 500
qubes answers with some 20,000 messages. tests/lab/test_network_dump.py holds both against each
other. Layouts and numbers: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h, fib_rules.h,
pkt_sched.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from socket import AF_INET, AF_INET6

from netchain.backends.netns.netlink import Netlink

_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE, _GETQDISC = 18, 22, 26, 30, 34, 38
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NO_STATISTICS = struct.pack("=HHI", 8, 29, 8)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
_HEADER = 16
_LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
_ROUTE, _NEIGHBOUR = struct.Struct("=BBBBBBBBI"), struct.Struct("=BxxxiHBB")
_DISCIPLINE = struct.Struct("=BxxxiIII")
_ATTRIBUTE = struct.Struct("=HH")
_KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

Attributes = dict[int, bytes]
Messages = list[tuple[tuple[int, ...], Attributes]]
"""The fields of the fixed part, and the attributes by their numbers."""


class Dumps:
    """Every list as it was when it was first looked at. OSError when the kernel refuses one."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink

    @cached_property
    def links(self) -> Messages:
        """ifinfomsg: family, type, index, flags, change."""
        return list(self._dumped(_GETLINK, _LINK, more=_NO_STATISTICS))

    @cached_property
    def addresses(self) -> Messages:
        """ifaddrmsg: family, prefix length, flags, scope, index."""
        return list(self._dumped(_GETADDR, _ADDRESS))

    @cached_property
    def neighbours(self) -> Messages:
        """ndmsg: family, index, state, flags, type."""
        return list(self._dumped(_GETNEIGH, _NEIGHBOUR))

    @cached_property
    def routes(self) -> Messages:
        """rtmsg of every table: family, lengths of destination and source, tos, table, protocol,
        scope, type, flags. (Of both families at once the kernel tells only IPv4's.)"""
        return [each for family in (AF_INET, AF_INET6)
                for each in self._dumped(_GETROUTE, _ROUTE, family)]  # fmt: skip

    def policies(self, family: int) -> Messages:
        """Policy rules, fib_rule_hdr: family, lengths of destination and source, tos, table, two
        reserved, action, flags."""
        return list(self._dumped(_GETRULE, _ROUTE, family))

    def disciplines(self) -> Messages:
        """tcmsg: family, index, handle, parent, info."""
        return list(self._dumped(_GETQDISC, _DISCIPLINE))

    def _dumped(
        self, kind: int, fixed: struct.Struct, family: int = 0, more: bytes = b""
    ) -> Iterator[tuple[tuple[int, ...], Attributes]]:
        body = struct.pack("=B", family).ljust(fixed.size, b"\0") + more
        request = struct.pack("=IHHII", _HEADER + len(body), kind, _REQUEST_DUMP, 0, 0) + body
        for data in self._netlink.dump(request):
            yield fixed.unpack_from(data, _HEADER), attributes(data, _HEADER + fixed.size)


def attributes(data: bytes, offset: int = 0) -> Attributes:
    """By number. OSError for what is no attribute: nothing is left out without a word."""
    found: Attributes = {}
    while offset < len(data):
        length, kind = _ATTRIBUTE.unpack(data[offset : offset + 4].ljust(4, b"\0"))
        if not 4 <= length <= len(data) - offset:
            raise OSError(f"rtnetlink: an attribute of {length} bytes in {data.hex()}")
        found[kind & _KIND_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def number(data: bytes) -> int:
    """An attribute of 32 bits, in this machine's order."""
    return int(struct.unpack("=I", data)[0])


def text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")

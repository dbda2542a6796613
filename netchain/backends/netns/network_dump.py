"""What the network of a node really is: links, addresses, routes, permanent neighbours.

Read by rtnetlink, in the words of `wiring`, so that both can be compared. Left out is what the
kernel makes itself (RTPROT_KERNEL routes, the local table, link-local addresses, loopback).

The answers are unpacked here and not by pyroute2, which takes many times as long: a chain of 500
qubes answers with some 20,000 messages. tests/lab/test_network_dump.py holds both against each
other. Layouts and numbers: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from netchain.backends.netns.netlink import Netlink

_RTM_GETLINK, _RTM_GETADDR, _RTM_GETROUTE, _RTM_GETNEIGH = 18, 22, 26, 30
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NO_STATISTICS = struct.pack("=HHI", 8, 29, 8)  # IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS
_HEADER = 16
_LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
_ROUTE, _NEIGHBOUR = struct.Struct("=BBBBBBBBI"), struct.Struct("=BxxxiHBB")
_ATTRIBUTE, _U32 = struct.Struct("=HH"), struct.Struct("=I")
_KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_IFF_UP, _NUD_PERMANENT = 1, 0x80
_IFLA_IFNAME, _IFLA_GROUP, _IFA_ADDRESS, _NDA_DST, _NDA_LLADDR = 3, 27, 1, 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_MAIN, _LOCAL, _KERNEL, _UNICAST = 254, 255, 2, 1
_KINDS = {_UNICAST: "", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_EVERYWHERE: dict[int, str] = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104 - no socket
_LOOPBACK = "lo"

_Attributes = dict[int, bytes]


def dump(netlink: Netlink) -> list[dict[str, Any]]:
    """Changes of `wiring` that would make what is there. Raises OSError when the kernel refuses."""
    links = list(_dumped(netlink, _RTM_GETLINK, _LINK, more=_NO_STATISTICS))
    names = {fixed[2]: _text(attributes[_IFLA_IFNAME]) for fixed, attributes in links}
    return [
        *(
            {"do": "link", "dev": names[index], "group": _number(attributes, _IFLA_GROUP)}
            for (_, _, index, flags, _), attributes in links
            if flags & _IFF_UP
        ),
        *_addresses(netlink, names),
        *_neighbours(netlink, names),
        *_routes(netlink, names),
    ]


def _addresses(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for (family, length, _, _, index), found in _dumped(netlink, _RTM_GETADDR, _ADDRESS):
        dev, address = names.get(index, ""), _address(family, found.get(_IFA_ADDRESS))
        if dev != _LOOPBACK and not str(address).startswith("fe80:"):
            yield {"do": "addr", "dev": dev, "address": f"{address}/{length}"}


def _neighbours(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for (family, index, state, _, _), found in _dumped(netlink, _RTM_GETNEIGH, _NEIGHBOUR):
        if state & _NUD_PERMANENT:
            mac = found.get(_NDA_LLADDR)
            yield {
                "do": "neigh", "dev": names.get(index, ""),
                "address": _address(family, found.get(_NDA_DST)),
                "mac": mac.hex(":") if mac is not None else None,
            }  # fmt: skip


def _routes(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    """All of every table but the local one: a hostile table of its own must differ, too."""
    # Of both families at once the kernel tells only IPv4's.
    both = chain.from_iterable(
        _dumped(netlink, _RTM_GETROUTE, _ROUTE, family) for family in (AF_INET, AF_INET6)
    )
    for (family, length, _, _, table, proto, _, kind, _), found in both:
        if table == _LOCAL or proto == _KERNEL:
            continue
        change = {
            "do": "route",
            "to": f"{_address(family, found.get(_RTA_DST)) or _EVERYWHERE[family]}/{length}",
            "dev": names.get(_number(found, _RTA_OIF) or 0, ""),
            "via": _address(family, found.get(_RTA_GATEWAY)),
            "src": _address(family, found.get(_RTA_PREFSRC)),
            "metric": _number(found, _RTA_PRIORITY),
            "kind": _KINDS.get(kind, str(kind)), "table": "" if table == _MAIN else str(table),
        }  # fmt: skip
        yield {key: value for key, value in change.items() if value}


def _dumped(
    netlink: Netlink, kind: int, fixed: struct.Struct, family: int = 0, more: bytes = b""
) -> Iterator[tuple[tuple[int, ...], _Attributes]]:
    """The fixed part and the attributes of each message that answers."""
    body = struct.pack("=B", family).ljust(fixed.size, b"\0") + more
    request = struct.pack("=IHHII", _HEADER + len(body), kind, _REQUEST_DUMP, 0, 0) + body
    for data in netlink.dump(request):
        yield fixed.unpack_from(data, _HEADER), _attributes(data, _HEADER + fixed.size)


def _attributes(data: bytes, offset: int) -> _Attributes:
    """By number. OSError for what is no attribute: nothing is left out without a word."""
    found: _Attributes = {}
    while offset < len(data):
        length, kind = _ATTRIBUTE.unpack(data[offset : offset + 4].ljust(4, b"\0"))
        if not 4 <= length <= len(data) - offset:
            raise OSError(f"rtnetlink: an attribute of {length} bytes in {data.hex()}")
        found[kind & _KIND_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _number(found: _Attributes, kind: int) -> int | None:
    data = found.get(kind)
    return None if data is None else int(_U32.unpack(data)[0])


def _address(family: int, data: bytes | None) -> str | None:
    return None if data is None else inet_ntop(family, data)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")

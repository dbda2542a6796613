"""What the network of a node really is: links, addresses, routes, permanent neighbours.

Read by rtnetlink, in the words of `wiring`, so that both can be compared. Left out is what the
kernel makes itself (RTPROT_KERNEL routes, the local table, link-local addresses, loopback).
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from netchain.backends.netns.dumps import Attributes, Dumps, number, text

_IFF_UP, _NUD_PERMANENT = 1, 0x80
_IFLA_IFNAME, _IFLA_GROUP, _IFA_ADDRESS, _NDA_DST, _NDA_LLADDR = 3, 27, 1, 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_MAIN, _LOCAL, _KERNEL, _UNICAST = 254, 255, 2, 1
_KINDS = {_UNICAST: "", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_EVERYWHERE: dict[int, str] = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104 - no socket
_LOOPBACK = "lo"


def dump(dumps: Dumps) -> list[dict[str, Any]]:
    """Changes of `wiring` that would make what is there. Raises OSError when the kernel refuses."""
    names = {fixed[2]: text(found[_IFLA_IFNAME]) for fixed, found in dumps.links}
    return [
        *(
            {"do": "link", "dev": names[index], "group": _number(found, _IFLA_GROUP)}
            for (_, _, index, flags, _), found in dumps.links
            if flags & _IFF_UP
        ),
        *_addresses(dumps, names),
        *_neighbours(dumps, names),
        *_routes(dumps, names),
    ]


def _addresses(dumps: Dumps, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for (family, length, _, _, index), found in dumps.addresses:
        dev, address = names.get(index, ""), _address(family, found.get(_IFA_ADDRESS))
        if dev != _LOOPBACK and not str(address).startswith("fe80:"):
            yield {"do": "addr", "dev": dev, "address": f"{address}/{length}"}


def _neighbours(dumps: Dumps, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for (family, index, state, _, _), found in dumps.neighbours:
        if state & _NUD_PERMANENT:
            mac = found.get(_NDA_LLADDR)
            yield {
                "do": "neigh", "dev": names.get(index, ""),
                "address": _address(family, found.get(_NDA_DST)),
                "mac": mac.hex(":") if mac is not None else None,
            }  # fmt: skip


def _routes(dumps: Dumps, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    """All of every table but the local one: a hostile table of its own must differ, too."""
    for (family, length, _, _, table, proto, _, kind, _), found in dumps.routes:
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


def _number(found: Attributes, kind: int) -> int | None:
    data = found.get(kind)
    return None if data is None else number(data)


def _address(family: int, data: bytes | None) -> str | None:
    return None if data is None else inet_ntop(family, data)

"""A node's network as a proof needs it (model/snapshot.py), read by the keeper in one moment.

Layouts: linux/rtnetlink.h, if_link.h, fib_rules.h, xfrm.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import Any

from netchain.backends.netns import nodes
from netchain.backends.netns.dumps import Dumps, attributes, number, text
from netchain.backends.netns.strange import is_plain_policy

_IFF_UP = 1
_NAME, _MASTER, _LINKINFO, _GROUP, _XDP = 3, 10, 18, 27, 43
_INFO_KIND, _XDP_ATTACHED = 1, 2
_KINDS = {
    1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
    7: "unreachable", 8: "prohibit", 9: "throw",
}  # fmt: skip
_XFRM, _GET_POLICIES, _DUMP, _DONE = 6, 0x15, 0x301, 3
_TRIES = 5


def snapshot(node: nodes.Node, home: int, rules: Any) -> dict[str, Any]:
    """What model.snapshot.Snapshot has, as JSON can carry it; `rules()` lists the rules.

    Raises OSError when the kernel refuses, or when it changes faster than it can be read.
    """
    before = _network(node, home)
    for _ in range(_TRIES):
        listing = rules()
        after = _network(node, home)
        if after == before:
            return {**after, "rules": listing}
        before = after
    raise OSError(f"{node.name}: its network changes all the time")


def _network(node: nodes.Node, home: int) -> dict[str, Any]:
    dumps = Dumps(node.netlink)
    names = {fixed[2]: text(has[_NAME]) for fixed, has in dumps.links}
    with nodes.within(node.netns, home):
        settings = {path: _setting(node, path) for path in node.sysctls}
        secured = _has_ipsec()
    return {
        "devices": list(_devices(dumps)),
        "routes": list(_routes(dumps, names)),
        "policies": [one for is_plain, one in _policies(dumps) if is_plain],
        "sysctls": settings,
        "datapaths": [*_datapaths(dumps, names), *(["IPsec policies"] if secured else [])],
    }


def _setting(node: nodes.Node, path: str) -> str:
    part = path[: len("net/ipv4")]
    with suppress(FileNotFoundError):
        return nodes.read_line(path[len(part) + 1 :], node.sysctl_directory(part))
    return ""


def _devices(dumps: Dumps) -> Iterator[dict[str, Any]]:
    addresses: dict[int, list[str]] = {}
    for (_, length, _, _, index), has in dumps.addresses:
        address = ip_address(has.get(2) or has[1])  # IFA_LOCAL, else IFA_ADDRESS
        addresses.setdefault(index, []).append(f"{address}/{length}")
    for (_, _, index, flags, _), has in dumps.links:
        yield {
            "name": text(has[_NAME]), "group": number(has.get(_GROUP, bytes(4))),
            "kind": text(attributes(has.get(_LINKINFO, b"")).get(_INFO_KIND, b"")),
            "is_up": bool(flags & _IFF_UP), "addresses": addresses.get(index, []),
        }  # fmt: skip


def _routes(dumps: Dumps, names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    for (family, length, _, _, table, _, _, kind, _), has in dumps.routes:
        to = ip_address(has.get(1) or bytes(4 if family == AF_INET else 16))
        yield {
            "to": f"{to}/{length}", "device": names.get(number(has.get(4, bytes(4))), ""),
            "kind": _KINDS.get(kind, str(kind)),
            "table": number(has[15]) if 15 in has else table,
            "metric": number(has.get(6, bytes(4))),
            "via": str(ip_address(has[5])) if 5 in has else "",
        }  # fmt: skip


def _policies(dumps: Dumps) -> Iterator[tuple[bool, dict[str, int]]]:
    """Whether the rule asks for nothing, and what it is."""
    for version, family in ((4, AF_INET), (6, AF_INET6)):
        for fixed, has in dumps.policies(family):
            table = number(has[15]) if 15 in has else fixed[4]
            one = {"version": version, "priority": number(has.get(6, bytes(4))), "table": table}
            yield is_plain_policy(fixed, has), one


def _datapaths(dumps: Dumps, names: Mapping[int, str]) -> Iterator[str]:
    for _, has in dumps.links:
        name = text(has[_NAME])
        if attributes(has.get(_XDP, b"")).get(_XDP_ATTACHED, b"\0") != b"\0":
            yield f"an XDP program on {name}"
        if _MASTER in has:
            yield f"{name} is a port of {names.get(number(has[_MASTER]), 'another device')}"
    for (_, index, handle, _, _), has in dumps.disciplines():
        if handle:
            yield f"tc on {names.get(index, str(index))} ({text(has[1])})"
    for is_plain, one in _policies(dumps):
        if not is_plain:
            yield f"policy rule {one['priority']} of IPv{one['version']} that chooses packets"


def _has_ipsec() -> bool:
    """Whether there is an IPsec policy, which changes where packets go and what they are. Called in
    the node."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _XFRM) as sock:
            sock.send(struct.pack("=IHHII", 16, _GET_POLICIES, _DUMP, 0, 0))
            kind = struct.unpack_from("=H", sock.recv(1 << 16), 4)[0]
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ECONNREFUSED):
            return False  # the kernel has no IPsec at all
        raise
    return bool(kind != _DONE)

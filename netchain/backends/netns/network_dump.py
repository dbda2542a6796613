"""What the network of a node really is: links, addresses, routes, permanent neighbours.

Read by rtnetlink, in the words of `wiring`, so that both can be compared. Left out is what the
kernel makes itself (RTPROT_KERNEL routes, the local table, link-local addresses, loopback).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT, ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netchain.backends.netns.netlink import Netlink

_MAIN, _KERNEL, _UNICAST = 254, 2, 1
_KINDS = {_UNICAST: "", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_LOOPBACK = "lo"


def dump(netlink: Netlink) -> list[dict[str, Any]]:
    """Changes of `wiring` that would make what is there. Raises OSError when the kernel refuses."""
    links = list(_dumped(netlink, RTM_GETLINK, ifinfmsg))
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    return [
        *(
            {"do": "link", "dev": names[link["index"]], "group": link.get_attr("IFLA_GROUP")}
            for link in links
            if link["flags"] & IFF_UP
        ),
        *_addresses(netlink, names),
        *_neighbours(netlink, names),
        *_routes(netlink, names),
    ]


def _addresses(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for found in _dumped(netlink, RTM_GETADDR, ifaddrmsg):
        dev, address = names.get(found["index"], ""), found.get_attr("IFA_ADDRESS")
        if dev != _LOOPBACK and not address.startswith("fe80:"):
            yield {"do": "addr", "dev": dev, "address": f"{address}/{found['prefixlen']}"}


def _neighbours(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for found in _dumped(netlink, RTM_GETNEIGH, ndmsg):
        if found["state"] & NUD_PERMANENT:
            yield {
                "do": "neigh", "dev": names.get(found["ifindex"], ""),
                "address": found.get_attr("NDA_DST"), "mac": found.get_attr("NDA_LLADDR"),
            }  # fmt: skip


def _routes(netlink: Netlink, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    """All of every table but the local one: a hostile table of its own must differ, too."""
    # Of both families at once the kernel tells only IPv4's.
    both = chain.from_iterable(
        _dumped(netlink, RTM_GETROUTE, rtmsg, family) for family in (AF_INET, AF_INET6)
    )
    for found in both:
        if found["table"] == 255 or found["proto"] == _KERNEL:
            continue
        everywhere = "0.0.0.0" if found["family"] == AF_INET else "::"  # noqa: S104 - no socket
        kind = _KINDS.get(found["type"], str(found["type"]))
        change = {
            "do": "route", "to": f"{found.get_attr('RTA_DST') or everywhere}/{found['dst_len']}",
            "dev": names.get(found.get_attr("RTA_OIF"), ""), "via": found.get_attr("RTA_GATEWAY"),
            "src": found.get_attr("RTA_PREFSRC"), "metric": found.get_attr("RTA_PRIORITY"),
            "kind": kind, "table": "" if found["table"] == _MAIN else str(found["table"]),
        }  # fmt: skip
        yield {key: value for key, value in change.items() if value}


def _dumped(netlink: Netlink, kind: int, message: Any, family: int = 0) -> Iterator[Any]:
    request = message()
    request["family"] = family
    flags = NLM_F_REQUEST | NLM_F_DUMP
    request["header"] = {"type": kind, "flags": flags, "sequence_number": 0}
    request.encode()
    for data in netlink.dump(bytes(request.data)):
        answer = message(data)
        answer.decode()
        yield answer

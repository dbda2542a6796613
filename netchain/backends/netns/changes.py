"""Changes of links, addresses, routes and neighbours as rtnetlink messages (pyroute2's).

A change is a mapping: `do` says what, the rest how; interfaces are told by their index.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
)
from pyroute2.netlink.rtnl import (
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT, ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

Change = Mapping[str, Any]

_NEW = NLM_F_CREATE | NLM_F_EXCL
_RT_TABLE_MAIN, _RTPROT_STATIC = 254, 4
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RTNH_F_ONLINK = 4


def describe(change: Change) -> str:
    """The change as words, for an error message."""
    return " ".join(f"{key} {value}" for key, value in change.items())


def veth(one: Mapping[str, Any], other: Mapping[str, Any]) -> Change:
    """A pair with both ends made directly in their namespaces (nothing appears in between).

    Each end: netns (descriptor), name, index, mac. Both ends are down until a "link" change.
    """
    return {"do": "veth", "one": one, "other": other}


def encode(change: Change, number: int) -> bytes:
    """The change as one netlink message; KeyError for a change of unknown kind."""
    kind, flags, message = _MESSAGES[change["do"]](change)
    message["header"] = {
        "type": kind,
        "flags": NLM_F_REQUEST | NLM_F_ACK | flags,
        "sequence_number": number,
    }
    message.encode()
    return bytes(message.data)


def _end(end: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("IFLA_IFNAME", end["name"]),
        ("IFLA_ADDRESS", end["mac"]),
        ("IFLA_NET_NS_FD", end["netns"]),
        ("IFLA_NUM_TX_QUEUES", 1),
        ("IFLA_NUM_RX_QUEUES", 1),
    ]


def _veth(change: Change) -> _Message:
    peer = {"index": change["other"]["index"], "attrs": _end(change["other"])}
    data = {"attrs": [("VETH_INFO_PEER", peer)]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    message = ifinfmsg()
    message["index"] = change["one"]["index"]
    message["attrs"] = [*_end(change["one"]), ("IFLA_LINKINFO", info)]
    return RTM_NEWLINK, _NEW, message


def _link(change: Change) -> _Message:
    """Bring up a link, in its group, with its MTU and alias."""
    message = ifinfmsg()
    message["index"] = change["index"]
    message["flags"] = message["change"] = IFF_UP
    message["attrs"] = _given(change, group="IFLA_GROUP", alias="IFLA_IFALIAS", mtu="IFLA_MTU")
    return RTM_SETLINK, 0, message


def _wireguard(change: Change) -> _Message:
    message = ifinfmsg()
    message["index"] = change["index"]
    info = {"attrs": [("IFLA_INFO_KIND", "wireguard")]}
    message["attrs"] = [("IFLA_IFNAME", change["name"]), ("IFLA_LINKINFO", info)]
    return RTM_NEWLINK, _NEW, message


def _delete(change: Change) -> _Message:
    message = ifinfmsg()
    message["index"] = change["index"]
    return RTM_DELLINK, 0, message


def _addr(change: Change) -> _Message:
    address, _, length = change["address"].partition("/")
    message = ifaddrmsg()
    message["family"] = _family(address)
    message["prefixlen"] = int(length)
    message["index"] = change["index"]
    # No duplicate address detection: the address must be usable at once, and nobody else has it.
    message["flags"] = IFA_F_NODAD if ":" in address else 0
    message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    return RTM_NEWADDR, _NEW, message


def _route(change: Change) -> _Message:
    destination, _, length = change["to"].partition("/")
    unreachable = change.get("kind") == "unreachable"
    message = rtmsg()
    message["family"] = _family(destination)
    message["dst_len"] = int(length)
    message["table"] = _RT_TABLE_MAIN
    message["proto"] = _RTPROT_STATIC
    message["type"] = _RTN_UNREACHABLE if unreachable else _RTN_UNICAST
    direct = "via" not in change and not unreachable and ":" not in destination
    message["scope"] = _RT_SCOPE_LINK if direct else _RT_SCOPE_UNIVERSE
    message["flags"] = _RTNH_F_ONLINK if "via" in change else 0
    message["attrs"] = [("RTA_DST", destination)] if int(length) else []
    message["attrs"] += _given(
        change, index="RTA_OIF", via="RTA_GATEWAY", src="RTA_PREFSRC", metric="RTA_PRIORITY"
    )
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, message


def _unroute(change: Change) -> _Message:
    """Take that very route away; fine when it is gone already."""
    _, _, message = _route(change)
    message["flags"] = message["scope"] = 0
    return RTM_DELROUTE, 0, message


def _neigh(change: Change) -> _Message:
    message = ndmsg()
    message["family"] = _family(change["address"])
    message["ifindex"] = change["index"]
    message["state"] = NUD_PERMANENT
    message["attrs"] = [("NDA_DST", change["address"]), ("NDA_LLADDR", change["mac"])]
    return RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, message


def _given(change: Change, **attributes: str) -> list[tuple[str, Any]]:
    """The attributes whose keys the change has."""
    return [(name, change[key]) for key, name in attributes.items() if key in change]


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


_Message = tuple[int, int, Any]
_MESSAGES: Mapping[str, Callable[[Change], _Message]] = {
    "veth": _veth,
    "wireguard": _wireguard,
    "link": _link,
    "delete": _delete,
    "addr": _addr,
    "route": _route,
    "unroute": _unroute,
    "neigh": _neigh,
}

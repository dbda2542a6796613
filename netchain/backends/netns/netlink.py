"""Links, addresses, routes and neighbours: pyroute2's messages over sockets that are kept.

A netlink socket belongs to the network namespace in which it was opened for as long as it lives,
so each node has one and nobody ever changes namespace again (facts: pyroute2's own `netns=` forks
per handle and takes several times as long). All messages of a node go in one batch with one
acknowledgement each; the kernel applies them in order.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP_INTR,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)
from pyroute2.netlink.rtnl import (
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_GETLINK,
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

from netchain.backends.netns import syscalls

Change = Mapping[str, Any]

_HEADER, _LINK = struct.Struct("=IHHII"), struct.Struct("=BxHiII")  # nlmsghdr, ifinfomsg
_AT_ONCE = 64  # changes a batch: the answers to more could outgrow the socket's buffer
_UP_S, _UP_POLL_S = 1.0, 0.0005
_NEW = NLM_F_CREATE | NLM_F_EXCL
_RT_TABLE_MAIN, _RTPROT_STATIC = 254, 4
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RTNH_F_ONLINK = 4


def own_netns() -> int:
    """A descriptor of the caller's network namespace."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Netlink:
    """One kept rtnetlink socket in one namespace."""

    def __init__(self, netns: int) -> None:
        home = own_netns()
        try:
            syscalls.setns(netns, syscalls.CLONE_NEWNET)
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self._socket.bind((0, 0))
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNET)
            os.close(home)

    def close(self) -> None:
        self._socket.close()

    def apply(self, changes: Iterable[Change]) -> None:
        """Apply changes in order; raises OSError that names the first one that was refused.

        The kernel goes on with those behind it (tests/platform/test_netlink_sockets.py).
        """
        self.prepared(changes)()

    def prepared(self, changes: Iterable[Change]) -> Callable[[], None]:
        """The same, but only encoded: to be called when it is time."""
        changes = list(changes)
        batches = [
            (some, b"".join(_encode(c, number) for number, c in enumerate(some, 1)))
            for some in (changes[i : i + _AT_ONCE] for i in range(0, len(changes), _AT_ONCE))
        ]

        def send() -> None:
            for some, data in batches:
                self._send(some, data)

        return send

    def _send(self, changes: Sequence[Change], data: bytes) -> None:
        self._socket.send(data)
        errors = self._acknowledgements(len(changes))
        for number, change in zip(errors, changes, strict=True):
            if number and not (change["do"] == "unroute" and number == errno.ESRCH):
                raise OSError(number, f"{os.strerror(number)}: {describe(change)}")

    def take_down(self, index: int) -> None:
        """Set a link down, in a fraction of the time that deleting it takes (no grace period of
        the kernel is waited for); nothing passes it from then on, at either end. Raises OSError."""
        self._socket.send(_HEADER.pack(32, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
                          + _LINK.pack(0, 0, index, 0, IFF_UP))  # fmt: skip
        (number,) = self._acknowledgements(1)
        if number:
            raise OSError(number, os.strerror(number))

    def dump(self, request: bytes) -> list[bytes]:
        """Every message of the answer to a request with NLM_F_DUMP; asked again when something
        changed meanwhile (NLM_F_DUMP_INTR). Raises OSError when the kernel refuses.
        """
        while True:
            self._socket.send(request)
            found, interrupted = self._one_dump()
            if not interrupted:
                return found

    def _one_dump(self) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        interrupted = False
        while True:
            data = self._socket.recv(1 << 17)
            offset = 0
            while offset + 16 <= len(data):
                length, kind, flags = struct.unpack_from("=IHH", data, offset)
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    return found, interrupted
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, offset + 16)[0]
                    raise OSError(number, os.strerror(number))
                found.append(data[offset : offset + length])
                offset += (length + 3) & ~3

    def await_up(self, index: int) -> None:
        """Return once the interface is operational; OSError (ETIMEDOUT) after a second.

        A veth's first end has no queue until the kernel's linkwatch has run: until then what it
        sends is dropped, permanent neighbours or not (measured: 1 first echo of 60 on a busy
        machine). Kernels since 6.8 settle it within the request, older ones by themselves.
        """
        deadline = time.monotonic() + _UP_S
        while self._operstate(index) != "UP":
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, f"interface {index} does not come up")
            time.sleep(_UP_POLL_S)  # a bounded poll

    def _operstate(self, index: int) -> str | None:
        request = ifinfmsg()
        request["index"] = index
        request["header"] = {"type": RTM_GETLINK, "flags": NLM_F_REQUEST, "sequence_number": 0}
        request.encode()
        self._socket.send(bytes(request.data))
        answer = ifinfmsg(self._socket.recv(1 << 16))
        answer.decode()
        state: str | None = answer.get_attr("IFLA_OPERSTATE")
        return state

    def _acknowledgements(self, count: int) -> list[int]:
        errors: list[int] = []
        while len(errors) < count:
            data = self._socket.recv(1 << 16)
            offset = 0
            while offset + 20 <= len(data):
                length, kind = struct.unpack_from("=IH", data, offset)
                if kind == NLMSG_ERROR:
                    errors.append(-struct.unpack_from("=i", data, offset + 16)[0])
                offset += (length + 3) & ~3
        return errors


def describe(change: Change) -> str:
    """The change as words, for an error message."""
    return " ".join(f"{key} {value}" for key, value in change.items())


def veth(one: Mapping[str, Any], other: Mapping[str, Any]) -> Change:
    """A pair with both ends made directly in their namespaces (nothing appears in between).

    Each end: netns (descriptor), name, index, mac. Both ends are down until a "link" change.
    """
    return {"do": "veth", "one": one, "other": other}


def _encode(change: Change, number: int) -> bytes:
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

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
from collections.abc import Callable, Iterable, Sequence

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)
from pyroute2.netlink.rtnl import (
    RTM_GETLINK,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg

from netchain.backends.netns import syscalls
from netchain.backends.netns.changes import Change, describe, encode

_HEADER, _LINK = struct.Struct("=IHHII"), struct.Struct("=BxHiII")  # nlmsghdr, ifinfomsg
_AT_ONCE = 64  # changes a batch: the answers to more could outgrow the socket's buffer
_UP_S, _UP_POLL_S = 1.0, 0.0005


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
            (some, b"".join(encode(c, number) for number, c in enumerate(some, 1)))
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

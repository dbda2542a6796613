"""Flows that the kernel tracks: those of moved qubes are forgotten, through conntrack's netlink.

A flow that is known lets its packets pass without being asked again, and answers find their way
by it: neither may outlive the path that it was opened on.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

_ENOENT = 2
_MANY = 1000
"""One by one each takes some 0.2 ms, and the site waits; beyond, all flows of the node end."""


def forget(addresses: Sequence[str]) -> None:
    """Take every flow that one of these addresses opened from the caller's namespace (none: all
    flows). Raises OSError when the kernel refuses.

    Asked for by address the kernel tells them since 5.8 (conntrack's CTA_FILTER); they are taken
    one by one, since it takes them by address only since 6.7 (not on Debian 12).
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        with NFCTSocket(nfgen_family=family) as table:
            try:
                if not addresses:
                    table.flush()
                for address in addresses:
                    if _family(address) == family:
                        _forget_of(table, address)
            except NetlinkError as error:
                raise OSError(error.code, f"conntrack: {error}") from error


def _forget_of(table: Any, address: str) -> None:
    of_it = NFCTAttrTuple(_family(address), saddr=address)
    found = list(islice(table.dump(tuple_orig=of_it), _MANY + 1))
    if len(found) > _MANY:
        table.flush()
        return
    for flow in found:
        opened = NFCTAttrTuple.from_netlink(flow["nfgen_family"], flow.get_attr("CTA_TUPLE_ORIG"))
        if ip_address(opened.saddr) != ip_address(address):
            continue
        try:
            table.entry("del", tuple_orig=opened)
        except NetlinkError as error:
            if error.code != _ENOENT:  # it ended by itself
                raise


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

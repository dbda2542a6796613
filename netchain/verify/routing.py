"""Where packets really go: the routes and policy rules that are there, over an algebra.

Source: ip-rule(8), ip-route(8): rules by their priority name tables; in a table the longest prefix
counts, and of equal ones the smallest metric.
"""

from __future__ import annotations

from collections.abc import Iterator

from netchain.model.snapshot import Route, Snapshot
from netchain.verify.algebra import Bit
from netchain.verify.packet import DST, IP, Packet
from netchain.verify.words import is_prefix, is_value

_VERSIONS = {IP: 4}
_GIVES_UP = frozenset({"blackhole", "unreachable", "prohibit", "local", "broadcast", "anycast"})


def takes(packet: Packet, snapshot: Snapshot) -> Bit:
    """Whether the routes send the packet, which goes on, out of `packet.oif`. One over several
    interfaces may take any."""
    algebra = packet.algebra
    left, found = algebra.true, algebra.false
    for route in _in_order(snapshot, _VERSIONS.get(packet.family, 6)):
        address = packet.address(DST)
        to = is_prefix(algebra, address, int(route.to.ip), route.to.network.prefixlen)
        hit = algebra.both(left, to)
        if route.kind == "throw":
            continue  # another table may still know
        left = algebra.both(left, algebra.no(to))
        if route.kind in _GIVES_UP:
            continue
        number = packet.interfaces.number(route.device)
        out = is_value(algebra, packet.oif, number) if route.device else algebra.true
        found = algebra.either(found, algebra.both(hit, out))
    return found


def _in_order(snapshot: Snapshot, version: int) -> Iterator[Route]:
    for policy in sorted(snapshot.policies, key=lambda one: one.priority):
        if policy.version == version:
            table = [route for route in snapshot.routes
                     if route.table == policy.table and route.to.version == version]  # fmt: skip
            yield from sorted(table, key=lambda r: (-r.to.network.prefixlen, r.metric))

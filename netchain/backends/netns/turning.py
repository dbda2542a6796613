"""A qube's turn from one netvm to another, as changes of the nodes it touches (pure).

The new link is made beside the old one, under the other name, in a group that no rule knows and
without a route. The cut then changes groups and routes only: messages that take microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netchain.backends.netns.wiring import Change, Wires, netvm_end, wires
from netchain.model.addressing import (
    GROUP_DOWNSTREAM,
    GROUP_UPLINK,
    UPLINK,
    UPLINKS,
    downstream_interface,
)
from netchain.model.chain import Chain, Qube
from netchain.model.names import QubeName

CLOSED = 0
"""The group of a link that every rule file drops on: what no side is."""


def other_uplink(uplink: str) -> str:
    """The name that the next uplink gets."""
    return next(name for name in UPLINKS if name != uplink)


def on(changes: list[Change], uplink: str) -> list[Change]:
    """The same changes for an uplink of that name."""
    return [{**c, "dev": uplink} if c.get("dev") == UPLINK else c for c in changes]


def prepared(made: Wires, uplink: str) -> tuple[list[Change], list[Change]]:
    """What the two ends of a new link get before the cut: client's and netvm's."""
    ends = on(made.client_end, uplink), made.netvm_end
    own, other = ([_closed(c) for c in end if c["do"] != "route"] for end in ends)
    return [*own, made.label(uplink)], other


def _closed(change: Change) -> Change:
    return {**change, "group": CLOSED} if "group" in change else change


def cut(
    old: Chain, new: Chain, name: QubeName, uplinks: Mapping[QubeName, str], uplink: str
) -> list[tuple[QubeName, list[Change]]]:
    """The cut, in order: the old netvm denies, the qube turns over to `uplink`, the routes above
    follow, the new netvm allows, labels tell of it. `uplinks` are the present ones."""
    client = new[name]
    before, after = old[name].netvm, client.netvm
    assert before is not None and after is not None
    interface = downstream_interface(new, name)
    routes = [c for c in on(wires(new, client).client_end, uplink) if c["do"] == "route"]
    turn: list[Change] = [_group(uplinks[name], CLOSED), *routes, _group(uplink, GROUP_UPLINK)]
    allow = [*_routes(netvm_end(new, client)), _group(interface, GROUP_DOWNSTREAM)]
    return [
        (before, [_group(interface, CLOSED)]),
        (name, turn),
        *_above(old, new, name),
        (after, allow),
        *_labels(old, new, name, uplinks),
    ]


def around(
    old: Chain, new: Chain, name: QubeName, uplinks: Mapping[QubeName, str]
) -> list[tuple[QubeName, list[Change]]]:
    """What changes above a qube that is detached from its old netvm, or attached to its new one."""
    return [*_above(old, new, name), *_labels(old, new, name, uplinks)]


def _group(dev: str, group: int) -> Change:
    return {"do": "link", "dev": dev, "group": group}


def _routes(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change["do"] == "route"]


def _above(old: Chain, new: Chain, name: QubeName) -> Iterator[tuple[QubeName, list[Change]]]:
    """Where what is moved is reached through another of a node's links than before."""
    for qube in new.from_uplink():
        had, has = (_reached(chain, qube, name) for chain in (old, new))
        if had == has:
            continue
        own = _routes(netvm_end(new, new[name])) if new[name].netvm == qube.name else []
        kept = {change["to"] for change in (*has, *own)}
        gone = [{**c, "do": "unroute"} for c in had if c["to"] not in kept]
        yield qube.name, [*gone, *(change for change in has if change not in had)]


def _reached(chain: Chain, netvm: Qube, moved: QubeName) -> list[Change]:
    """The routes of a node to what is behind its clients; the moved one's own link has its own."""
    others = (client for client in chain.clients(netvm.name) if client.name != moved)
    return [change for client in others for change in _routes(netvm_end(chain, client))]


def _labels(
    old: Chain, new: Chain, name: QubeName, uplinks: Mapping[QubeName, str]
) -> Iterator[tuple[QubeName, list[Change]]]:
    for qube in new.qubes:
        if qube.name == name or qube.netvm is None or qube.name not in uplinks:
            continue
        made = wires(new, qube)
        if made.version != wires(old, old[qube.name]).version:
            yield qube.name, [made.label(uplinks[qube.name])]

"""The part of the namespaces backend that gives a running qube another netvm.

What is to be changed where is decided in turning.py; a qube's uplink in use is the one of the
uplinks' group, whatever its name.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from netchain.backends.netns import turning, wiring
from netchain.backends.netns.client import KeeperClient
from netchain.errors import NetchainError, Problem
from netchain.model.addressing import CLIENT_MAC, GROUP_UPLINK, NETVM_MAC, UPLINK
from netchain.model.allowed import Link
from netchain.model.chain import Address, Chain
from netchain.model.names import QubeName
from netchain.model.observed import UPLINK_PEER

Uplinks = Mapping[str, tuple[int, str]]
"""Group and label of each uplink that a qube has, by its name."""


class Switching:
    """See backends/base.py."""

    keeper: KeeperClient

    def prepare(self, chain: Chain, qube: QubeName) -> None:
        client, node = chain[qube], node_of(chain, qube)
        assert client.netvm is not None
        netvm, wires = node_of(chain, client.netvm), wiring.wires(chain, client)
        uplink = turning.other_uplink(used_uplink(self._uplinks(chain, qube)))
        own, other = turning.prepared(wires, uplink)
        ends = [
            {"node": netvm, "name": wires.interface, "mac": NETVM_MAC},
            {"node": node, "name": uplink, "mac": CLIENT_MAC},
        ]
        self.keeper.ask("wire", ends=ends, changes=[[netvm, other], [node, own]])

    def cut_over(self, old: Chain, new: Chain, qube: QubeName) -> tuple[int, int]:
        there = self._there(new)
        uplinks = _used(there)
        uplink = turning.other_uplink(used_uplink(there[qube]))
        changes = turning.cut(old, new, qube, uplinks, uplink)
        names = {"node": node_of(new, qube), **wiring.wires(new, new[qube]).names}
        answer = self.keeper.ask("cut_over", changes=_in_nodes(new, changes, there), names=names)
        return answer["start"], answer["end"]

    def reroute(self, old: Chain, new: Chain, qube: QubeName) -> None:
        there = self._there(new)
        changes = turning.around(old, new, qube, _used(there))
        self.keeper.ask("cut_over", changes=_in_nodes(new, changes, there))

    def _there(self, chain: Chain) -> dict[QubeName, Uplinks]:
        """The uplinks of each qube that is there."""
        found = self.keeper.ask("observe", prefix=f"{chain.name}:")["nodes"]
        names = (q.name for q in chain.qubes if node_of(chain, q.name) in found)
        return {name: found[node_of(chain, name)]["uplinks"] for name in names}

    def retire(self, chain: Chain, qube: QubeName) -> None:
        uplinks = self._uplinks(chain, qube)
        spare = [name for name in uplinks if name != used_uplink(uplinks)]
        for name in spare:
            self.keeper.ask("unwire", node=node_of(chain, qube), name=name)

    def forget_flows(self, chain: Chain, qube: QubeName, addresses: Sequence[Address]) -> None:
        asked = [str(address) for address in addresses]
        self.keeper.ask("forget", node=node_of(chain, qube), addresses=asked)

    def _uplinks(self, chain: Chain, qube: QubeName) -> Uplinks:
        found = self.keeper.ask("observe", prefix=node_of(chain, qube))["nodes"]
        node = node_of(chain, qube)
        if node not in found:
            raise NetchainError(Problem("E052", f"there is no {node!r}"))
        uplinks: Uplinks = found[node]["uplinks"]
        return uplinks

    def uplink(self, chain: Chain, link: Link) -> str:
        """The client's interface of that link: of two the one that leads to its netvm."""
        uplinks = self._uplinks(chain, link.client)
        leading = (n for n, (_, alias) in uplinks.items() if _leads_to(alias, link.netvm))
        return next(leading, UPLINK)


def used_uplink(uplinks: Uplinks) -> str:
    """Of a qube's uplinks the one that is in use."""
    used = (name for name, (group, _) in uplinks.items() if group == GROUP_UPLINK)
    return next(used, next(iter(uplinks), UPLINK))


def _used(there: Mapping[QubeName, Uplinks]) -> dict[QubeName, str]:
    return {name: used_uplink(uplinks) for name, uplinks in there.items() if uplinks}


def used_label(uplinks: Uplinks) -> str:
    """Its label; "" without an uplink."""
    return uplinks.get(used_uplink(uplinks), (0, ""))[1]


def _leads_to(alias: str, netvm: QubeName | None) -> bool:
    return wiring.read_label(alias)[0] == (netvm or UPLINK_PEER)


def _in_nodes(
    chain: Chain, changes: list[tuple[QubeName, list[Any]]], there: Container[QubeName]
) -> list[list[Any]]:
    return [[node_of(chain, name), some] for name, some in changes if name in there]


def node_of(chain: Chain, qube: str) -> str:
    return f"{chain.name}:{qube}"

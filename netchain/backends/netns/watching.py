"""The part of the namespaces backend that tells how a qube is, and when that has changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

from netchain.backends.netns.client import KeeperClient
from netchain.errors import NetchainError
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.snapshot import Snapshot


class Watching:
    """See backends/base.py."""

    keeper: KeeperClient

    def snapshot(self, chain: Chain, qube: QubeName) -> Snapshot:
        return Snapshot.read(self.keeper.ask("snapshot", node=f"{chain.name}:{qube}")["snapshot"])

    def events(self, chain: Chain) -> Mapping[QubeName, Sequence[socket.socket]]:
        nodes = self.keeper.ask("observe", prefix=f"{chain.name}:")["nodes"]
        found: dict[QubeName, Sequence[socket.socket]] = {}
        for node in nodes:
            with suppress(NetchainError):  # it ended meanwhile: the next pulse is another one
                sockets = self.keeper.ask_sockets("events", 2, node=node)
                found[QubeName(node.partition(":")[2])] = sockets
        return found

    def pulse(self, chain: Chain) -> str:
        ask, prefix = self.keeper.ask, f"{chain.name}:"
        return json.dumps([ask("observe", prefix=prefix), ask("strange", prefix=prefix)])

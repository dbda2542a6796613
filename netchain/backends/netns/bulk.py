"""What a client can ask of the keeper about many nodes at once (see operations.py).

One request for a whole chain: with a request for each of 500 qubes, or a wait for the end of each,
`status` and `down` would take many seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from netchain.backends.netns import flows, nodes, syscalls
from netchain.backends.netns.dumps import Dumps
from netchain.backends.netns.network_dump import dump
from netchain.backends.netns.nodes import Node
from netchain.backends.netns.rpc import Message
from netchain.backends.netns.snapshots import snapshot
from netchain.backends.netns.strange import strange

if TYPE_CHECKING:
    from netchain.backends.netns.keeper import Keeper

Answer = tuple[Message, list[int]]


class BulkOperations:
    """Operations on all nodes whose names start with the `prefix`, or on the named `nodes`."""

    _keeper: Keeper
    _prepared: Callable[[str, Iterable[Mapping[str, Any]]], Callable[[], None]]

    def do_network(self, message: Message) -> Answer:
        """What the network of such nodes is (their addresses, routes, neighbours), and what they
        have that nobody gave them (strange.py)."""
        found = {}
        for node in self._those(message):
            dumps = Dumps(node.netlink)
            found[node.name] = {"has": dump(dumps), "strange": self._strange(node, dumps)}
        return {"nodes": found}, []

    def do_strange(self, message: Message) -> Answer:
        """Only the latter."""
        those = self._those(message)
        return {"nodes": {n.name: self._strange(n, Dumps(n.netlink)) for n in those}}, []

    def _strange(self, node: Node, dumps: Dumps) -> list[Mapping[str, str]]:
        return [vars(each) for each in strange(node, self._keeper.home, dumps)]

    def do_snapshot(self, message: Message) -> Answer:
        """All that a proof about the node starts from (snapshots.py)."""
        node = self._keeper.nodes[message["node"]]

        def rules() -> str:
            return self._keeper.rules.run(node.netns, "list ruleset", json=True)

        return {"snapshot": snapshot(node, self._keeper.home, rules)}, []

    def do_loaded(self, message: Message) -> Answer:
        """What rules such nodes have (listings.Loaded)."""
        nodes = self._those(message)
        found = self._keeper.rules.loaded([node.netns for node in nodes])
        digests = {node.name: astuple(one) for node, one in zip(nodes, found, strict=True)}
        return {"nodes": digests}, []

    def do_names(self, message: Message) -> Answer:
        """Every name with the prefix that a node has or ever had."""
        found = [n for n in self._keeper.tied.names if n.startswith(message["prefix"])]
        return {"names": found}, []

    def do_known(self, message: Message) -> Answer:
        """The digests of those of the rule texts that were checked before, by `listings.key`."""
        return {"digests": self._keeper.rules.known(message["keys"])}, []

    def do_learn(self, message: Message) -> Answer:
        """Check rule texts where nobody is; of each the `digest`, or the `error`."""
        return {"texts": self._keeper.rules.learn(message["texts"])}, []

    def do_end(self, message: Message) -> Answer:
        """Take the named nodes' uplinks down in that order, then end them all, without waiting."""
        self._keeper.end(message["nodes"])
        syscalls.await_packets_in_flight()
        return {}, []

    def do_cut_over(self, message: Message) -> Answer:
        """Changes in several nodes, one behind the other as fast as can be; when (ns, wall clock)
        that began and ended. One that is refused keeps the rest from being made. Then `names`."""
        batches = [self._prepared(name, changes) for name, changes in message["changes"]]
        start = time.time_ns()
        for batch in batches:
            batch()
        end = time.time_ns()
        if names := message.get("names"):
            self._write_names(names)
        return {"start": start, "end": end}, []

    def do_forget(self, message: Message) -> Answer:
        """Take flows that such addresses opened from the node's table; without any, all flows."""
        node = self._keeper.nodes[message["node"]]
        with nodes.within(node.netns, self._keeper.home):
            flows.forget(message["addresses"])
        return {}, []

    def _write_names(self, names: Mapping[str, Any]) -> None:
        nodes.write_names(self._keeper.nodes[names["node"]].path(nodes.OWN_ETC), names)

    def _those(self, message: dict[str, Any]) -> list[Node]:
        prefix = message["prefix"]
        return [node for name, node in self._keeper.nodes.items() if name.startswith(prefix)]

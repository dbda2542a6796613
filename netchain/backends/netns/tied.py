"""Disposable nodes: each ends with the connection of the client that made it, however that ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netchain.backends.netns.keeper import Keeper


@dataclass(frozen=True)
class _Tie:
    """Whose connection a node ends with, and the rules that are run in another node afterwards."""

    client: socket.socket
    node: str
    rules: Sequence[str]


class Tied:
    """The nodes that are tied to a client, and every name that a node ever had."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._ties: dict[str, _Tie] = {}
        self.names: set[str] = set()

    def tie(self, name: str, client: socket.socket, tied: dict[str, Any]) -> None:
        self._ties[name] = _Tie(client, tied["node"], tied["rules"])

    def left(self, client: socket.socket) -> None:
        """End every node of a client that has gone."""
        for name in [name for name, tie in self._ties.items() if tie.client is client]:
            self._keeper.remove(name)
            self._ties.pop(name, None)  # it may have ended with its chain

    def ended(self, name: str) -> None:
        """A node is gone, for whatever reason: what others knew of it goes, too. An element that
        is not there (the rules were loaded anew) keeps no other one."""
        tie = self._ties.pop(name, None)
        there = self._keeper.nodes.get(tie.node) if tie else None
        if tie is None or there is None:
            return
        for text in tie.rules:
            with contextlib.suppress(OSError):
                self._keeper.rules.run(there.netns, text)

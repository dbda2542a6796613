"""The lab's keeper without the lab's hosts: up in a blink, for what needs nodes only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netchain.backends.netns import starter
from netchain.backends.netns.client import KeeperClient
from netchain.lab.lab import SITE


@contextmanager
def bare_site(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeeperClient]:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(state))
    try:
        keeper = KeeperClient.start(SITE)
        yield keeper
        keeper.close()
    finally:
        starter.kill(SITE)


def node(keeper: KeeperClient, name: str, role: str = "firewall", **sysctls: int) -> None:
    """A node without rules; its sysctls are those of net/ipv4."""
    settings = {f"net/ipv4/{key}": value for key, value in sysctls.items()}
    spec = {"hostname": name.partition(":")[2], "role": role, "sysctls": settings}
    keeper.ask("create", node=name, spec=spec)

"""The lab's keeper without the lab's hosts, and a chain without programs: up in a blink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.lab.internet import ROUTER
from netchain.lab.lab import SITE
from netchain.model.chain import Chain
from netchain.nft.fill import Facts, rules_for


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


@contextmanager
def bare_chain(
    chain: Chain, state: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NetnsBackend]:
    """With its rules and links, all but the workstation open."""
    with bare_site(state, monkeypatch) as keeper:
        # Like the lab's: otherwise it asks the uplink for routers after a second, which is a leak.
        quiet = {"net/ipv6/conf/default/addr_gen_mode": 1}
        spec = {"hostname": "router", "role": "firewall", "sysctls": quiet}
        keeper.ask("create", node=ROUTER, spec=spec)
        backend = NetnsBackend(keeper, ROUTER)
        for qube in chain.from_uplink():
            backend.create(chain, qube.name)
            backend.load_rules(chain, qube.name, rules_for(chain, qube, Facts(tor_uid=0)))
            backend.attach(chain, qube.name)
            if qube.name != "anon-whonix":
                backend.unblock(chain, qube.name)
        yield backend

"""What the conformance suite's tests share: names, and what a backend says of them."""

from __future__ import annotations

from netchain.backends.base import Backend
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.observed import ObservedQube
from netchain.nft.fill import Facts, rules_for

FIREWALL, VPN, WORK = QubeName("sys-firewall"), QubeName("sys-proxyvm"), QubeName("work")
NEW_FIREWALL = ObservedQube(blocked=True, role=Role.FIREWALL)
NEW_VPN = ObservedQube(blocked=True, role=Role.VPN_PROXY)
WAIT_S = 10.0


def observed(backend: Backend, chain: Chain, name: QubeName) -> ObservedQube:
    return backend.observe(chain).qubes[name]


def rules(backend: Backend, chain: Chain, name: QubeName) -> str:
    return rules_for(chain, chain[name], Facts(tor_uid=backend.uids().tor))


def create(backend: Backend, chain: Chain, *names: QubeName) -> None:
    for name in names:
        backend.create(chain, name)

"""The links, addresses, routes and neighbours of a chain as data (pure; golden-tested).

Point to point as in Qubes: /32 and /128 on each end, the netvm reached onlink, neighbours
permanent, so that a link works from its first packet (no ARP race) and no third party is on it.
A VPN qube has no default route but the tunnel's: a host route to its endpoint, and `unreachable`
behind it, are the second lock beside its rules.

A link gets its label (the interface's alias) when all the rest has succeeded: the netvm, and a
digest of all that the link was made with. A link that was half made has none, one that a changed
profile would make otherwise has another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netchain.backends.base import Tunnel, digest
from netchain.model import addressing
from netchain.model.addressing import (
    CLIENT_MAC,
    GROUP_DOWNSTREAM,
    GROUP_TUNNEL,
    GROUP_UPLINK,
    NETVM_MAC,
    UPLINK,
    VIRTUAL_DNS,
)
from netchain.model.chain import Address, Chain, Qube, Role
from netchain.model.names import QubeName
from netchain.model.observed import UPLINK_PEER

Change = Mapping[str, Any]
_UNREACHABLE_METRIC = 4294967294


@dataclass(frozen=True)
class Wires:
    """A qube's link: the netvm's interface, what each end needs, and who the qube asks for names.

    `peer` is the netvm, or for the uplink the word and the router's port.
    """

    peer: str
    interface: str
    client_end: list[Change]
    netvm_end: list[Change]
    names: dict[str, Any]

    @property
    def version(self) -> str:
        parts = [self.peer, self.interface, self.client_end, self.netvm_end, self.names]
        return digest(json.dumps(parts, sort_keys=True))

    def label(self, uplink: str = UPLINK) -> Change:
        return {"do": "link", "dev": uplink, "alias": f"{self.peer} {self.version}"}


@lru_cache(maxsize=4096)
def wires(chain: Chain, qube: Qube) -> Wires:
    """The link of a qube to its netvm, or of the `net` qube to the router."""
    hosts = {str(qube.name): str(addressing.address4(chain, qube.name))}
    names = {"hosts": hosts, "resolv": [str(a) for a in _resolvers(chain, qube)]}
    if qube.netvm is not None:
        interface = addressing.downstream_interface(chain, qube.name)
        own, other = client_end(chain, qube), netvm_end(chain, qube)
        return Wires(str(qube.netvm), interface, own, other, names)
    assert chain.wan is not None
    own, other = uplink_ends(chain)
    return Wires(f"{UPLINK_PEER} {chain.wan.port}", chain.wan.port, own, other, names)


def read_label(label: str) -> tuple[QubeName | None, str]:
    """The netvm and the version that a label tells; none for a link without one."""
    words = label.split()
    if len(words) < 2:
        return None, ""
    return QubeName(words[0]), words[-1]


def router_port(label: str) -> str:
    """The router's port that a label tells; "" for a link that is not an uplink."""
    words = label.split()
    return words[1] if len(words) == 3 and words[0] == UPLINK_PEER else ""


def _resolvers(chain: Chain, qube: Qube) -> tuple[Address, ...]:
    """Who the qube asks for names: a workstation its Tor gateway, or Qubes' virtual resolvers."""
    if qube.role is not Role.WORKSTATION or qube.netvm is None:
        return ()
    netvm = chain[qube.netvm]
    if netvm.role is Role.TOR_GATEWAY:
        return (addressing.address4(chain, netvm.name),)
    return VIRTUAL_DNS


def client_end(chain: Chain, qube: Qube) -> list[Change]:
    """What the qube's own uplink interface needs, in order; the link is up last but for routes."""
    assert qube.netvm is not None
    netvm4 = addressing.address4(chain, qube.netvm)
    netvm6 = addressing.address6(chain, qube.netvm)
    changes = [
        _up(UPLINK, GROUP_UPLINK),
        _address(UPLINK, addressing.address4(chain, qube.name)),
        _address(UPLINK, addressing.address6(chain, qube.name)),
        _neighbour(UPLINK, netvm4, NETVM_MAC),
        _neighbour(UPLINK, netvm6, NETVM_MAC),
        _host_route(UPLINK, netvm4),
        _host_route(UPLINK, netvm6),
    ]
    if qube.role is Role.VPN_PROXY:
        return changes + _endpoint_only(qube, netvm4, netvm6)
    changes.append(_default(UPLINK, netvm4))
    if addressing.has_ipv6_route(chain, qube):
        changes.append(_default(UPLINK, netvm6))
    return changes


def _endpoint_only(qube: Qube, netvm4: Address, netvm6: Address) -> list[Change]:
    changes: list[Change] = [
        {"do": "route", "to": everywhere, "kind": "unreachable", "metric": _UNREACHABLE_METRIC}
        for everywhere in ("0.0.0.0/0", "::/0")
    ]
    if qube.vpn is not None and qube.vpn.settings is not None:
        endpoint = qube.vpn.settings.endpoint.address
        via = netvm4 if endpoint.version == 4 else netvm6
        changes.append(
            {"do": "route", "dev": UPLINK, "to": f"{endpoint}/{endpoint.max_prefixlen}",
             "via": str(via)}
        )  # fmt: skip
    return changes


def netvm_end(chain: Chain, client: Qube) -> list[Change]:
    """What the netvm's interface towards the client needs."""
    assert client.netvm is not None
    dev = addressing.downstream_interface(chain, client.name)
    own4 = addressing.address4(chain, client.netvm)
    own6 = addressing.address6(chain, client.netvm)
    client4 = addressing.address4(chain, client.name)
    client6 = addressing.address6(chain, client.name)
    changes = [
        _up(dev, GROUP_DOWNSTREAM, alias=str(client.name)),
        _address(dev, own4),
        _address(dev, own6),
        _neighbour(dev, client4, CLIENT_MAC),
        _neighbour(dev, client6, CLIENT_MAC),
        {**_host_route(dev, client4), "src": str(own4)},
        {**_host_route(dev, client6), "src": str(own6)},
    ]
    for behind in addressing.senders_behind(chain, client):
        if behind.name != client.name:
            changes += [
                _via(dev, addressing.address4(chain, behind.name), client4),
                _via(dev, addressing.address6(chain, behind.name), client6),
            ]
    return changes


def uplink_ends(chain: Chain) -> tuple[list[Change], list[Change]]:
    """sys-net's uplink and the router's port, from the chain's `wan`."""
    wan = chain.wan
    assert wan is not None
    own = [_up(UPLINK, GROUP_UPLINK)]
    router = [_up(wan.port, 0, alias=f"{chain.name}")]
    pairs: list[tuple[Address, Address]] = [(wan.address4, wan.gateway4)]
    if wan.address6 is not None and wan.gateway6 is not None:
        pairs.append((wan.address6, wan.gateway6))
    for mine, gateway in pairs:
        own += [_address(UPLINK, mine), _neighbour(UPLINK, gateway, NETVM_MAC)]
        own += [_host_route(UPLINK, gateway), _default(UPLINK, gateway)]
        router += [_address(wan.port, gateway), _neighbour(wan.port, mine, CLIENT_MAC)]
        router += [_host_route(wan.port, mine)]
    return own, router


def tunnel(spec: Tunnel) -> list[Change]:
    """The VPN's inner interface: addresses, and the only default routes that the qube has."""
    changes: list[Change] = [{**_up(spec.name, GROUP_TUNNEL), "mtu": spec.mtu}]
    for address in spec.addresses:
        changes.append(_address(spec.name, address))
        if spec.default_route:
            everywhere = "0.0.0.0/0" if address.version == 4 else "::/0"
            changes.append({"do": "route", "dev": spec.name, "to": everywhere, "metric": 100})
    return changes


def _up(dev: str, group: int, alias: str = "") -> Change:
    return {"do": "link", "dev": dev, "group": group, **({"alias": alias} if alias else {})}


def _address(dev: str, address: Address) -> Change:
    return {"do": "addr", "dev": dev, "address": f"{address}/{address.max_prefixlen}"}


def _neighbour(dev: str, address: Address, mac: str) -> Change:
    return {"do": "neigh", "dev": dev, "address": str(address), "mac": mac}


def _host_route(dev: str, address: Address) -> Change:
    return {"do": "route", "dev": dev, "to": f"{address}/{address.max_prefixlen}"}


def _default(dev: str, via: Address) -> Change:
    everywhere = "0.0.0.0/0" if via.version == 4 else "::/0"
    return {"do": "route", "dev": dev, "to": everywhere, "via": str(via)}


def _via(dev: str, address: Address, via: Address) -> Change:
    return {**_host_route(dev, address), "via": str(via)}

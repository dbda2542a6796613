"""Where a probe is sent: an end of a link, as the qube there (or somebody in it) could (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from netchain.model import addressing
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC
from netchain.model.allowed import Direction, Link, links
from netchain.model.chain import Address, Chain, Role


@dataclass(frozen=True)
class Place:
    """One end of a link. `role` is the sender's own (of the uplink's far end: None); addresses are
    the sender's and the other end's, IPv4 then IPv6 (None where there is none). `chain` is the one
    that the link belongs to."""

    link: Link
    direction: Direction
    role: Role | None
    addresses: tuple[Address | None, Address | None]
    peers: tuple[Address | None, Address | None]
    mac: str
    peer_mac: str
    chain: Chain = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.link.name} {self.direction}"

    def own(self, version: int) -> Address:
        """ValueError when the sender has no address of that family."""
        return _one(self.addresses, version)

    def peer(self, version: int) -> Address:
        return _one(self.peers, version)

    def others(self, version: int) -> tuple[Address, ...]:
        """The addresses of the chain's qubes that are at neither end of this link."""
        find = addressing.address4 if version == 4 else addressing.address6
        ends = (self.link.client, self.link.netvm)
        return tuple(find(self.chain, q.name) for q in self.chain.qubes if q.name not in ends)


def _one(addresses: tuple[Address | None, Address | None], version: int) -> Address:
    address = addresses[0 if version == 4 else 1]
    if address is None:
        raise ValueError(f"no IPv{version} address here")
    return address


def places(chain: Chain) -> tuple[Place, ...]:
    """Both ends of every link, but for sys-net's own end of the uplink, which is free to send."""
    found = []
    for link in links(chain):
        found.append(_down(chain, link))
        if link.netvm is not None:
            found.append(_up(chain, link))
    return tuple(found)


def _both(chain: Chain, name: str) -> tuple[Address, Address]:
    return addressing.address4(chain, name), addressing.address6(chain, name)


def _up(chain: Chain, link: Link) -> Place:
    assert link.netvm is not None
    own, peer = _both(chain, link.client), _both(chain, link.netvm)
    role = chain[link.client].role
    return Place(link, Direction.UP, role, own, peer, CLIENT_MAC, NETVM_MAC, chain)


def _down(chain: Chain, link: Link) -> Place:
    if link.netvm is not None:
        own, peer = _both(chain, link.netvm), _both(chain, link.client)
        role = chain[link.netvm].role
        return Place(link, Direction.DOWN, role, own, peer, NETVM_MAC, CLIENT_MAC, chain)
    wan = chain.wan
    assert wan is not None
    router, client = (wan.gateway4, wan.gateway6), (wan.address4, wan.address6)
    return Place(link, Direction.DOWN, None, router, client, NETVM_MAC, CLIENT_MAC, chain)

"""The chain: pure data with Qubes' own nouns.

A `Chain` is a tree of qubes: each names its netvm, the root is the one `net` qube that holds the
uplink. What must be true of it as a whole is in invariants.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TypeVar

from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName

Address = IPv4Address | IPv6Address
_Key = TypeVar("_Key")


class Role(StrEnum):
    """What a qube does in the chain; each role has a rule file of that name."""

    NET = "net"
    FIREWALL = "firewall"
    VPN_PROXY = "vpn-proxy"
    TOR_GATEWAY = "tor-gateway"
    WORKSTATION = "workstation"


class QubeState(StrEnum):
    """Life of a qube. "vpn-down" is a vpn-proxy that is degraded, "tor-down" a tor-gateway."""

    BLOCKED = "blocked"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Endpoint:
    """Where a VPN's outer packets go: the only destination that its qube may reach."""

    address: Address
    port: int
    protocol: str = "udp"


@dataclass(frozen=True)
class VpnSettings:
    """What the rules need to know of a VPN; no secret in it."""

    kind: str
    endpoint: Endpoint
    addresses: tuple[Address, ...]
    dns: tuple[Address, ...] = ()
    mtu: int = 1420


@dataclass(frozen=True)
class Vpn:
    """The `vpn` key of a qube: the configuration's name, and its settings once resolved."""

    config: str
    settings: VpnSettings | None = None


@dataclass(frozen=True)
class Wan:
    """sys-net's uplink: the port it is plugged into, its own addresses and the router's."""

    port: str
    address4: IPv4Address
    gateway4: IPv4Address
    address6: IPv6Address | None = None
    gateway6: IPv6Address | None = None


@dataclass(frozen=True)
class Lan:
    """The `lan` key: what a NIC is given when it is moved into the site (`uplink = "nic:NAME"`)."""

    address4: IPv4Interface
    gateway4: IPv4Address
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None


@dataclass(frozen=True)
class Qube:
    """One qube. `netvm` is None for the `net` role, and for a qube that has no network.

    `clearnet` says that somebody allowed a workstation of a Tor chain to go without Tor; `dispid`
    is a disposable's number.
    """

    name: QubeName
    role: Role
    label: Label
    netvm: QubeName | None = None
    vpn: Vpn | None = None
    clearnet: bool = False
    dispid: int = 0

    @property
    def provides_network(self) -> bool:
        return self.role is not Role.WORKSTATION


@dataclass(frozen=True)
class Chain:
    """Qubes in the order of their profile; the order gives each its address.

    What is looked up often is indexed once: work must not grow with the square of their number.
    """

    name: ChainName
    qubes: tuple[Qube, ...]
    backend: str = "netns"
    uplink: str = "lab"
    allow_discouraged: bool = False
    wan: Wan | None = None
    lan: Lan | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of its name and its qubes' netvms: enough to tell chains apart, and made once."""
        return hash((self.name, tuple((qube.name, qube.netvm) for qube in self.qubes)))

    @property
    def is_lab(self) -> bool:
        """Whether it is in the private internet; otherwise it is a site of its own."""
        return self.uplink == "lab"

    def __getitem__(self, name: str) -> Qube:
        """The qube of that name; KeyError when the chain has none."""
        return self.qubes[self._numbers[name]]

    def get(self, name: str) -> Qube | None:
        """The qube of that name; None when the chain has none."""
        return self.qubes[self._numbers[name]] if name in self._numbers else None

    def number(self, name: str) -> int:
        """The qube's place in the profile, from 0; KeyError when the chain has none."""
        return self._numbers[name]

    def with_role(self, role: Role) -> tuple[Qube, ...]:
        return self._with_role.get(role, ())

    def clients(self, name: str) -> tuple[Qube, ...]:
        """The qubes whose netvm is that one."""
        return self._clients.get(name, ())

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        """By name; of two qubes with one name the first."""
        return {q.name: number for number, q in reversed(tuple(enumerate(self.qubes)))}

    @cached_property
    def _with_role(self) -> Mapping[Role, tuple[Qube, ...]]:
        return _grouped((qube.role, qube) for qube in self.qubes)

    @cached_property
    def _clients(self) -> Mapping[str, tuple[Qube, ...]]:
        return _grouped((qube.netvm, qube) for qube in self.qubes if qube.netvm is not None)

    def upstream(self, name: str) -> Iterator[Qube]:
        """The netvm, its netvm and so on, to the uplink; ends at a gap or when it turns round."""
        seen = {name}
        current = self[name].netvm
        while current is not None and current not in seen:
            seen.add(current)
            qube = self.get(current)
            if qube is None:
                return
            yield qube
            current = qube.netvm

    def is_connected(self, name: str) -> bool:
        """Whether the qube holds the uplink, or reaches the one that does."""
        return Role.NET in {self[name].role, *(qube.role for qube in self.upstream(name))}

    def with_netvm(self, name: str, netvm: QubeName | None, *, clearnet: bool = False) -> Chain:
        """The same chain with another netvm for one qube (None: no network)."""
        return replace(
            self,
            qubes=tuple(
                replace(qube, netvm=netvm, clearnet=clearnet) if qube.name == name else qube
                for qube in self.qubes
            ),
        )

    def on_the_way(self, role: Role) -> Qube | None:
        """The qube of that role that a workstation's packets pass, the nearest to the uplink; else
        the first one of that role."""
        ways = (
            [qube, *self.upstream(qube.name)]
            for qube in self.with_role(Role.WORKSTATION)
            if self.is_connected(qube.name)
        )
        passed = (qube for way in ways for qube in reversed(way) if qube.role is role)
        return next(passed, next(iter(self.with_role(role)), None))

    def subtree(self, name: str) -> tuple[Qube, ...]:
        """The qube and all that reach the network through it, each after its netvm."""
        behind = (client for near in self.clients(name) for client in self.subtree(near.name))
        return (self[name], *behind)

    def from_uplink(self) -> tuple[Qube, ...]:
        """Every qube after its netvm: the order in which a chain is opened."""
        return self._from_uplink

    @cached_property
    def _from_uplink(self) -> tuple[Qube, ...]:
        return tuple(sorted(self.qubes, key=lambda q: sum(1 for _ in self.upstream(q.name))))

    def resolved(self, vpns: Mapping[QubeName, VpnSettings], wan: Wan | None) -> Chain:
        """The same chain with what had to be looked up: VPN settings and uplink addresses."""
        qubes = tuple(
            replace(q, vpn=replace(q.vpn, settings=vpns[q.name])) if q.vpn and q.name in vpns else q
            for q in self.qubes
        )
        return replace(self, qubes=qubes, wan=wan)


def _grouped(pairs: Iterable[tuple[_Key, Qube]]) -> dict[_Key, tuple[Qube, ...]]:
    found: dict[_Key, list[Qube]] = {}
    for key, qube in pairs:
        found.setdefault(key, []).append(qube)
    return {key: tuple(qubes) for key, qubes in found.items()}

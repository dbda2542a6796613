"""The chain: pure data with Qubes' own nouns, and the invariants checked once, here.

A `Chain` is a tree of qubes: each names its netvm, the root is the one `net` qube that holds the
uplink. `problems(chain)` lists everything that would break the promise; a `Chain` with problems is
never planned or applied (`profile.parse` refuses it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from netchain.errors import Problem
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
class Qube:
    """One qube. `netvm` is None for the `net` role, and for a qube that has no network.

    `clearnet` says that somebody allowed a workstation of a Tor chain to go without Tor.
    """

    name: QubeName
    role: Role
    label: Label
    netvm: QubeName | None = None
    vpn: Vpn | None = None
    clearnet: bool = False

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


_NETVM_ROLES: Mapping[Role, tuple[Role, ...]] = {
    Role.NET: (),
    Role.FIREWALL: (Role.NET, Role.FIREWALL),
    Role.VPN_PROXY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY, Role.TOR_GATEWAY),
    Role.TOR_GATEWAY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY),
    Role.WORKSTATION: (Role.VPN_PROXY, Role.TOR_GATEWAY),
}


def problems(chain: Chain) -> list[Problem]:
    """Everything that is wrong with the chain as a whole, each with its key path."""
    found = _duplicates(chain) + _uplinks(chain)
    for index, qube in enumerate(chain.qubes):
        found += _netvm_problems(chain, qube, f"qube[{index}].netvm")
        found += _vpn_problems(qube, f"qube[{index}].vpn")
    return found


def _duplicates(chain: Chain) -> list[Problem]:
    found = []
    for index, qube in enumerate(chain.qubes):
        first = chain.number(qube.name)
        if first != index:
            found.append(
                Problem(
                    "E013", f"this name is taken by qube[{first}]", f"qube[{index}].name",
                    repr(str(qube.name)), "a name that no other qube of the chain has",
                )
            )  # fmt: skip
    return found


def _uplinks(chain: Chain) -> list[Problem]:
    roots = [str(qube.name) for qube in chain.with_role(Role.NET)]
    if len(roots) == 1:
        return []
    title = "the chain has no uplink" if not roots else "the chain has more than one uplink"
    return [
        Problem("E014", title, "qube[].role", ", ".join(roots), 'exactly one qube of role "net"')
    ]


def _netvm_problems(chain: Chain, qube: Qube, where: str) -> list[Problem]:
    if qube.role is Role.NET:
        if qube.netvm is None:
            return []
        return [
            Problem(
                "E015", "a qube that holds the uplink has no netvm", where,
                repr(str(qube.netvm)), 'no netvm for role "net"',
            )
        ]  # fmt: skip
    value = repr(str(qube.netvm))
    if qube.netvm is None:  # it has no network (a profile must name one: profile.py)
        return []
    netvm = chain.get(qube.netvm)
    if netvm is None:
        accepted = accepted_netvms(chain, qube)
        return [Problem("E015", "no qube has this name", where, value, accepted)]
    if not netvm.provides_network:
        title = f"qube {netvm.name} does not provide network"
        return [Problem("E016", title, where, value, accepted_netvms(chain, qube))]
    if _in_loop(chain, qube):
        return [
            Problem(
                "E017", "loops in network are unsupported", where, value,
                "a netvm that does not reach the network through this qube",
            )
        ]  # fmt: skip
    return _order_problems(chain, qube, netvm, where)


def accepted_netvms(chain: Chain, qube: Qube) -> str:
    """The qubes that may be this one's netvm by their roles, as words."""
    names = [q.name for q in chain.qubes if q.role in _NETVM_ROLES[qube.role] and q != qube]
    return ", ".join(names) or f"a qube of role {' or '.join(_NETVM_ROLES[qube.role])}"


def _in_loop(chain: Chain, qube: Qube) -> bool:
    above = [qube, *chain.upstream(qube.name)]
    return any(q.netvm == qube.name for q in above)


def _order_problems(chain: Chain, qube: Qube, netvm: Qube, where: str) -> list[Problem]:
    value = repr(str(netvm.name))
    if netvm.role not in _NETVM_ROLES[qube.role]:
        title = f"a {qube.role} cannot have a {netvm.role} as its netvm"
        return [Problem("E018", title, where, value, accepted_netvms(chain, qube))]
    above = {q.role for q in chain.upstream(qube.name)}
    behind_tor = Role.TOR_GATEWAY in above
    if qube.role is Role.VPN_PROXY and behind_tor and not chain.allow_discouraged:
        return [
            Problem(
                "E019", "a VPN behind Tor is the discouraged order", where, value,
                "the VPN before Tor (the VPN qube between the uplink and the Tor gateway)",
                "Privacy Guides advises very strongly against You -> Tor -> VPN. If you know why "
                "you need it, say allow_discouraged = true at the top of the profile.",
            )
        ]  # fmt: skip
    in_tor_chain = bool(chain.with_role(Role.TOR_GATEWAY))
    reached = netvm.role is Role.TOR_GATEWAY or (chain.allow_discouraged and behind_tor)
    if qube.role is Role.WORKSTATION and in_tor_chain and not (reached or qube.clearnet):
        title = "in a chain with Tor a workstation is only ever below a Tor gateway"
        gateways = ", ".join(q.name for q in chain.with_role(Role.TOR_GATEWAY))
        return [Problem("E018", title, where, value, gateways)]
    return []


def _vpn_problems(qube: Qube, where: str) -> list[Problem]:
    if qube.role is Role.VPN_PROXY and qube.vpn is None:
        return [
            Problem(
                "E020", "a vpn-proxy needs a VPN configuration", where,
                accepted='{ config = "lab:provider-a" } or { config = "secrets/NAME.toml" }',
            )
        ]  # fmt: skip
    if qube.role is not Role.VPN_PROXY and qube.vpn is not None:
        title = f"a {qube.role} has no VPN"
        return [Problem("E020", title, where, qube.vpn.config, "vpn only for role vpn-proxy")]
    return []

"""What a qube's network is at one moment, as the kernel tells it: all that a proof starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, Self

Interface4or6 = IPv4Interface | IPv6Interface


@dataclass(frozen=True)
class NetDevice:
    """A network interface; `kind` is the kernel's word for it (veth, tun, wireguard; "" loopback
    and hardware)."""

    name: str
    group: int
    kind: str = ""
    is_up: bool = True
    addresses: tuple[Interface4or6, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route: `kind` unicast, local, broadcast, blackhole, unreachable, prohibit ...; `table` its
    number, `device` "" for none."""

    to: Interface4or6
    device: str
    kind: str = "unicast"
    table: int = 254
    metric: int = 0
    via: str = ""


@dataclass(frozen=True)
class PolicyRule:
    """A plain policy rule (ip rule): of all packets look up a table. Any other one is in
    `Snapshot.datapaths`."""

    version: int
    priority: int
    table: int


@dataclass(frozen=True)
class Snapshot:
    """One qube's. `rules` is what `nft -j list ruleset` prints; `datapaths` are what takes packets
    past all of it and is not modelled (tc, XDP, IPsec, bridges, policy rules that choose)."""

    rules: str
    devices: tuple[NetDevice, ...]
    routes: tuple[Route, ...] = ()
    policies: tuple[PolicyRule, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    datapaths: tuple[str, ...] = ()

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """From what JSON has of it. Raises KeyError, TypeError or ValueError for anything else."""
        devices = (
            NetDevice(d["name"], d["group"], d["kind"], d["is_up"],
                      tuple(ip_interface(a) for a in d["addresses"]))
            for d in found["devices"]
        )  # fmt: skip
        routes = (
            Route(ip_interface(r["to"]), r["device"], r["kind"], r["table"], r["metric"], r["via"])
            for r in found["routes"]
        )
        return cls(
            found["rules"], tuple(devices), tuple(routes),
            tuple(PolicyRule(**p) for p in found["policies"]),
            dict(found["sysctls"]), tuple(found["datapaths"]),
        )  # fmt: skip

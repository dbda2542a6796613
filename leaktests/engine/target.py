"""Destination classes: where a probe may try to go (leak-catalogue R01 to R15, pure).

A class is an address of each family. Routes and rules make exceptions by address (the endpoint, the
LAN, the qubes' own range), so every protocol is tried towards each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netchain.model import addressing
from netchain.model.chain import Address, Chain, Role, VpnSettings


@dataclass(frozen=True)
class Target:
    """One class and its address in one family."""

    name: str
    address: Address

    @property
    def version(self) -> int:
        return self.address.version


DEFAULT = "R01"
_FIXED = {
    "R01": ("192.0.2.1", "2001:db8:dead::1"),  # the default route: nobody in particular
    "R04": ("203.0.113.66", "2001:db8:bad::66"),  # what a forged answer for the endpoint names
    "R05": ("198.51.100.77", "2001:db8:1a4::77"),  # a public range that the uplink calls local
    "R07": ("203.0.113.121", "2001:db8:121::1"),  # behind a route that DHCP option 121 gives
    "R09": ("192.168.1.1", "fd12:3456:789a::1"),  # the LAN
    "R12": ("169.254.169.254", "fd00:ec2::254"),  # a cloud's metadata service
    "R14": ("192.88.99.1", "2002:c058:6301::1"),  # the 6to4 relay
}


def targets(chain: Chain) -> dict[str, tuple[Target, ...]]:
    """Every class that the chain has, with its addresses; resolved, so that endpoints are known."""
    found = {name: _pair(name, *texts) for name, texts in _FIXED.items()}
    roots = chain.with_role(Role.NET)
    for qube in roots:
        own = (addressing.address4(chain, qube.name), addressing.address6(chain, qube.name))
        found["R08"] = tuple(Target("R08", address) for address in own)
    settings = vpn_settings(chain)
    if settings is not None:
        found |= _of_vpn(settings)
    return dict(sorted(found.items()))


def _pair(name: str, four: str, six: str) -> tuple[Target, ...]:
    return Target(name, IPv4Address(four)), Target(name, IPv6Address(six))


def vpn_settings(chain: Chain) -> VpnSettings | None:
    """The VPN on a workstation's way, once it is resolved."""
    qube = chain.on_the_way(Role.VPN_PROXY)
    return qube.vpn.settings if qube is not None and qube.vpn is not None else None


def _of_vpn(settings: VpnSettings) -> dict[str, tuple[Target, ...]]:
    """The endpoint itself (R02 its other ports, R03 its port, R06 a relay there), and other
    customers inside the tunnel."""
    endpoint = settings.endpoint.address
    inside = tuple(Target("R10", address + 7) for address in settings.addresses)
    return {
        "R02": (Target("R02", endpoint),),
        "R03": (Target("R03", endpoint),),
        "R06": (Target("R06", endpoint),),
        "R10": inside,
    }

"""The addresses of a real uplink, and the wires of its router (pure).

Fixed ones of our own (private, RFC 1918 and 4193): nobody outside ever sees them. `ROUTER` is the
node that sells sys-net its uplink, as the provider's router does in the lab
(docs/decisions/0006-real-uplinks.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any

from netchain.model.addressing import GROUP_UPLINK
from netchain.model.chain import Lan, Wan

ROUTER = ":uplink"
"""No chain has an empty name, so that it is no chain's qube."""
WAN = Wan(
    "to-sys-net",
    IPv4Address("10.138.0.2"),
    IPv4Address("10.138.0.1"),
    IPv6Address("fd09:24ef:417a::2"),
    IPv6Address("fd09:24ef:417a::1"),
)
OUTER = "eth0"
OUTER_MAC, GATEWAY_MAC = "00:16:3e:5e:6d:00", "fe:ff:ff:ff:ff:fe"
_NETWORKS4 = IPv4Network("10.138.0.0/16")
_NETWORKS6 = IPv6Network("fd09:24ef:417a::/48")


@dataclass(frozen=True)
class Outside:
    """The router's outer interface: its addresses, its gateways, and their MAC address where it is
    known ("" where the kernel has to ask)."""

    interface: str
    address4: IPv4Interface
    gateway4: IPv4Address
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    mac: str = ""

    def changes(self) -> Iterator[Mapping[str, Any]]:
        """What the interface needs, in order (netlink.py)."""
        dev = self.interface
        yield {"do": "link", "dev": dev, "group": GROUP_UPLINK}
        for address, gateway in ((self.address4, self.gateway4), (self.address6, self.gateway6)):
            if address is None or gateway is None:
                continue
            everywhere = "0.0.0.0/0" if gateway.version == 4 else "::/0"
            yield {"do": "addr", "dev": dev, "address": str(address)}
            if address.network.num_addresses == 1:
                yield {"do": "route", "dev": dev, "to": f"{gateway}/{gateway.max_prefixlen}"}
            if self.mac:
                yield {"do": "neigh", "dev": dev, "address": str(gateway), "mac": self.mac}
            yield {"do": "route", "dev": dev, "to": everywhere, "via": str(gateway)}


def private(number: int, mac: str, interface: str = OUTER) -> Outside:
    """Addresses that only this computer knows; `number` (1 to 255) tells several chains apart."""
    base4 = _NETWORKS4.network_address + 256 * number
    base6 = _NETWORKS6.network_address + (number << 64)
    return Outside(
        interface, IPv4Interface(base4 + 2), base4 + 1,
        IPv6Interface(base6 + 2), base6 + 1, mac,
    )  # fmt: skip


def static(nic: str, lan: Lan) -> Outside:
    """Those that the profile gives the NIC."""
    return Outside(nic, lan.address4, lan.gateway4, lan.address6, lan.gateway6)

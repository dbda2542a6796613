"""The private internet as data: who is on it, with which addresses and names (pure).

Documentation and benchmark addresses (RFC 5737, 2544, 3849), which exist nowhere else and which
tor does not take for internal ones. Every host hangs on the router by a point-to-point link.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from netchain.lab.tornet import NODES as TOR_NODES
from netchain.model.chain import Wan

ROUTER = "lab:isp"
DNS, SITE = "dns", "site"
PROVIDERS = ("provider-a", "provider-b")
SITE_NAME = "news.lab"
VPN_PORT = 51820
ROUTER4, ROUTER6 = IPv4Address("100.64.255.254"), IPv6Address("2001:db8:ffff::1")
_HOST_MAC, _ROUTER_MAC = "00:16:3e:00:00:01", "fe:ff:ff:ff:ff:ff"
MAX_PORTS = 16


@dataclass(frozen=True)
class Host:
    """One host of the lab and its router port."""

    name: str
    address4: IPv4Address
    address6: IPv6Address
    port: str

    @property
    def node(self) -> str:
        return f"lab:{self.name}"


def _hosts() -> tuple[Host, ...]:
    fixed = [
        (DNS, "203.0.113.53", "2001:db8:53::53"),
        (SITE, "198.51.100.80", "2001:db8:80::80"),
        (PROVIDERS[0], "198.18.7.1", "2001:db8:7::1"),
        (PROVIDERS[1], "198.19.8.1", "2001:db8:8::1"),
    ]
    hosts = [Host(n, IPv4Address(a), IPv6Address(b), f"p-{n}") for n, a, b in fixed]
    for node in TOR_NODES:
        assert node.address6 is not None
        hosts.append(Host(node.name, node.address4, node.address6, f"p-{node.name}"))
    return tuple(hosts)


HOSTS = _hosts()


def host(name: str) -> Host:
    return next(h for h in HOSTS if h.name == name)


def wan(number: int) -> Wan:
    """The uplink that the router sells on its port of that number (0 to 15)."""
    return Wan(
        f"wan{number}",
        IPv4Address("100.64.0.2") + 256 * number,
        ROUTER4,
        IPv6Address(f"2001:db8:100:{number:x}::2"),
        ROUTER6,
    )


def wiring(h: Host) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Changes of the host and of the router for the link between them."""
    own: list[dict[str, Any]] = [{"do": "link", "dev": "eth0", "alias": "isp"}]
    router: list[dict[str, Any]] = [{"do": "link", "dev": h.port, "alias": h.name}]
    for mine, gateway in ((h.address4, ROUTER4), (h.address6, ROUTER6)):
        length = mine.max_prefixlen
        everywhere = "0.0.0.0/0" if mine.version == 4 else "::/0"
        own += [
            {"do": "addr", "dev": "eth0", "address": f"{mine}/{length}"},
            {"do": "neigh", "dev": "eth0", "address": str(gateway), "mac": _ROUTER_MAC},
            {"do": "route", "dev": "eth0", "to": f"{gateway}/{length}"},
            {"do": "route", "dev": "eth0", "to": everywhere, "via": str(gateway)},
        ]
        router += [
            {"do": "addr", "dev": h.port, "address": f"{gateway}/{length}"},
            {"do": "neigh", "dev": h.port, "address": str(mine), "mac": _HOST_MAC},
            {"do": "route", "dev": h.port, "to": f"{mine}/{length}"},
        ]
    return own, router


def ends(h: Host) -> list[dict[str, str]]:
    return [
        {"node": ROUTER, "name": h.port, "mac": _ROUTER_MAC},
        {"node": h.node, "name": "eth0", "mac": _HOST_MAC},
    ]


def unbound_conf() -> str:
    """The lab's DNS: its own names and nothing else, no upstream."""
    site, lines = host(SITE), []
    for kind, address in (("A", site.address4), ("AAAA", site.address6)):
        lines.append(f'  local-data: "{SITE_NAME}. {kind} {address}"')
    return (
        'server:\n  interface: 0.0.0.0\n  interface: ::0\n  username: ""\n  chroot: ""\n'
        '  pidfile: ""\n  use-syslog: no\n  num-threads: 1\n  do-daemonize: no\n'
        "  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n"
        '  module-config: "iterator"\n  local-zone: "." static\n'
        + "\n".join(lines)
        + "\nremote-control:\n  control-enable: no\n"
    )

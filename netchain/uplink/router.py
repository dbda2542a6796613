"""The rules of a real uplink's router: firewall_rules/uplinks/router.nft, filled (pure but for it).

What sys-net may send there, and the computer's own addresses, which it may never reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from netchain.model.addressing import senders_behind
from netchain.model.chain import Address, Chain, Endpoint, Role
from netchain.nft.fill import fill
from netchain.nft.literals import Port, Protocol, Value, element
from netchain.resources import data_dir
from netchain.uplink.addresses import WAN, Outside

_TRANSPORT = {"tcp": Protocol.TCP, "udp": Protocol.UDP}


def rules(chain: Chain, outside: Outside, host: Iterable[Address]) -> str:
    """The transaction that gives the router its rules; `host` are the computer's own addresses."""
    file = data_dir() / "firewall_rules" / "uplinks" / "router.nft"
    senders = senders_behind(chain, chain.with_role(Role.NET)[0])
    own: list[Address] = [WAN.address4, *([WAN.address6] if WAN.address6 else [])]
    out: list[Address] = [outside.address4.ip, *([outside.address6.ip] if outside.address6 else [])]
    neighbours = [address for address in (WAN.address6, WAN.gateway6) if address is not None]
    has_tor = any(sender.role is Role.TOR_GATEWAY for sender in senders)
    # Of all VPNs: a switch may give sys-net another one, and sys-net has the exact list.
    vpns = [qube.vpn for qube in chain.with_role(Role.VPN_PROXY)]
    endpoints = [vpn.settings.endpoint for vpn in vpns if vpn is not None and vpn.settings]
    return fill(file.read_text(encoding="utf-8"), {
        **_both("wan", own), **_both("outside", out), **_both("host", host),
        **_both("tor_clients", own if has_tor else ()),
        "neighbours6": _set((address,) for address in neighbours),
        "endpoints4": _set(_endpoint(e) for e in endpoints if e.address.version == 4),
        "endpoints6": _set(_endpoint(e) for e in endpoints if e.address.version == 6),
    })  # fmt: skip


def _endpoint(endpoint: Endpoint) -> tuple[Value, ...]:
    return endpoint.address, _TRANSPORT[endpoint.protocol], Port(endpoint.port)


def _both(name: str, addresses: Iterable[Address]) -> dict[str, frozenset[str]]:
    """A pair of sets of addresses, one for each family."""
    addresses = tuple(addresses)
    return {
        f"{name}4": _set((a,) for a in addresses if isinstance(a, IPv4Address)),
        f"{name}6": _set((a,) for a in addresses if isinstance(a, IPv6Address)),
    }


def _set(elements: Iterable[tuple[Value, ...]]) -> frozenset[str]:
    return frozenset(element(values) for values in elements)

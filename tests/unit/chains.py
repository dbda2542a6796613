"""The shipped chains, resolved as the lab would."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from netchain.model import nested, profile
from netchain.model.chain import Chain, Endpoint, Role, VpnSettings, Wan

ROOT = Path(__file__).resolve().parents[2]
SINGLE = ("vpn-before-tor", "vpn-only", "tor-only")
PROFILES = (*SINGLE, "two-vpns-before-tor", "two-providers", "many-workstations")
VPN = VpnSettings(
    "wireguard",
    Endpoint(IPv4Address("198.18.7.1"), 51820),
    (IPv4Address("10.64.0.2"), IPv6Address("fd00:64::2")),
    (IPv4Address("10.64.0.1"),),
)
VPN_B = VpnSettings(
    "wireguard",
    Endpoint(IPv4Address("198.19.8.1"), 51820),
    (IPv4Address("10.65.0.2"), IPv6Address("fd00:65::2")),
    (IPv4Address("10.65.0.1"),),
)
PROVIDERS = {"lab:provider-a": VPN, "lab:provider-b": VPN_B}
WAN = Wan(
    "wan0",
    IPv4Address("100.64.0.2"),
    IPv4Address("100.64.255.254"),
    IPv6Address("2001:db8:100::2"),
    IPv6Address("2001:db8:ffff::1"),
)


def chain(name: str) -> Chain:
    path = ROOT / "profiles" / f"{name}.toml"
    parsed = profile.parse(path.read_text(), path.name)
    vpns = {q.name: PROVIDERS[q.vpn.config] for q in parsed.with_role(Role.VPN_PROXY) if q.vpn}
    return parsed.resolved(nested.fitted(parsed, vpns), WAN)

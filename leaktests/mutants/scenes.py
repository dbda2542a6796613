"""The chains that the role files are tried in: real ones, and fuller than any that ships (pure).

Every set of a role's file must have elements in one of its scenes, or the rules that ask it would
be tried with nothing: so a VPN qube has workstations, a Tor gateway and VPNs below it, an endpoint
of each family in turn, and each gateway has two clients that must not reach each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from netchain.model.chain import Address, Chain, Endpoint, Qube, Role, Vpn, VpnSettings, Wan
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName

BLOCKED = "blocked"
"""The file that is no role's: it lies over a qube's rules while the qube is closed."""
WAN = Wan("wan0", *map(ip_address, ("100.64.0.2", "100.64.0.1", "2001:db8:a::2", "2001:db8:a::1")))  # type: ignore[arg-type]
_ENDPOINT4, _ENDPOINT6 = ip_address("198.18.7.1"), ip_address("2001:db8:7::1")


@dataclass(frozen=True)
class Scene:
    """One qube of a chain; `role` names the rule file that it is for."""

    role: str
    chain: Chain
    qube: Qube

    @property
    def name(self) -> str:
        return f"{self.chain.name} {self.qube.name}"


def scenes() -> tuple[Scene, ...]:
    """Every scene, those of a role behind one another."""
    full = {version: _full(version) for version in (4, 6)}
    of_roles = (
        (Role.WORKSTATION, _torified(), "anon-whonix"),
        (Role.WORKSTATION, full[4], "work"),
        (Role.TOR_GATEWAY, _torified(), "sys-whonix"),
        (Role.VPN_PROXY, full[4], "sys-proxyvm"),
        (Role.VPN_PROXY, full[6], "sys-proxyvm"),
        (Role.FIREWALL, _side_by_side(), "sys-firewall"),
        (Role.NET, _side_by_side(), "sys-net"),
        (BLOCKED, full[4], "sys-proxyvm"),
    )
    return tuple(Scene(str(role), chain, chain[name]) for role, chain, name in of_roles)


def _chain(name: str, *qubes: Qube) -> Chain:
    return Chain(ChainName(name), qubes, wan=WAN)


def _qube(name: str, role: Role, netvm: str | None, vpn: VpnSettings | None = None) -> Qube:
    there = QubeName(netvm) if netvm else None
    return Qube(QubeName(name), role, Label.RED, there, Vpn("scene", vpn) if vpn else None)


def _vpn(endpoint: Address, port: int = 51820) -> VpnSettings:
    inside = tuple(map(ip_address, ("10.64.0.2", "fd00:64::2")))
    names = tuple(map(ip_address, ("10.64.0.1", "fd00:64::1")))
    return VpnSettings("wireguard", Endpoint(endpoint, port), inside, names)


def _upper() -> tuple[Qube, Qube]:
    return _qube("sys-net", Role.NET, None), _qube("sys-firewall", Role.FIREWALL, "sys-net")


def _torified() -> Chain:
    return _chain(
        "tor-through-vpn",
        *_upper(),
        _qube("sys-proxyvm", Role.VPN_PROXY, "sys-firewall", _vpn(_ENDPOINT4)),
        _qube("sys-whonix", Role.TOR_GATEWAY, "sys-proxyvm"),
        _qube("anon-whonix", Role.WORKSTATION, "sys-whonix"),
        _qube("anon-two", Role.WORKSTATION, "sys-whonix"),
    )


def _full(version: int) -> Chain:
    """A VPN qube with every kind of client; its endpoint is of that family."""
    return _chain(
        f"vpn-ipv{version}",
        *_upper(),
        _qube("sys-proxyvm", Role.VPN_PROXY, "sys-firewall",
              _vpn(_ENDPOINT4 if version == 4 else _ENDPOINT6)),
        _qube("work", Role.WORKSTATION, "sys-proxyvm"),
        _qube("sys-whonix", Role.TOR_GATEWAY, "sys-proxyvm"),
        _qube("sys-vpn4", Role.VPN_PROXY, "sys-proxyvm", _vpn(ip_address("198.18.8.1"))),
        _qube("sys-vpn6", Role.VPN_PROXY, "sys-proxyvm", _vpn(ip_address("2001:db8:8::1"))),
    )  # fmt: skip


def _side_by_side() -> Chain:
    """VPNs at one firewall, and a Tor gateway behind another one."""
    return _chain(
        "side-by-side",
        *_upper(),
        _qube("sys-proxyvm", Role.VPN_PROXY, "sys-firewall", _vpn(_ENDPOINT4)),
        _qube("sys-vpn6", Role.VPN_PROXY, "sys-firewall", _vpn(_ENDPOINT6)),
        _qube("sys-inner", Role.FIREWALL, "sys-firewall"),
        _qube("sys-whonix", Role.TOR_GATEWAY, "sys-inner"),
        _qube("anon-whonix", Role.WORKSTATION, "sys-whonix"),
        _qube("sys-spare", Role.FIREWALL, "sys-net"),
    )

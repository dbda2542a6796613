"""Kernel settings of a qube, by role: set before it has any link (facts: conf/default counts then).

Sources: Linux Documentation/networking/ip-sysctl.rst. Only qubes that must pass packets on
forward; a Tor gateway and a workstation do not, which is a second lock beside their rules.
"""

from __future__ import annotations

from collections.abc import Mapping

from netchain.model.chain import Role

_FORWARDING = frozenset({Role.NET, Role.FIREWALL, Role.VPN_PROXY})

_VERIFIED_PMTU = 3
"""A smaller path MTU is believed only where the protocol can verify who says so (TCP's sequence
numbers): with a forged one a hostile uplink could have the VPN send fragments, or nothing."""

_IPV4 = {
    "rp_filter": 1,  # strict reverse path: a spoofed source is dropped before any rule
    "accept_redirects": 0,
    "secure_redirects": 0,
    "send_redirects": 0,
    "accept_source_route": 0,
    "arp_ignore": 1,  # answer for an address only on the interface that has it
    "arp_announce": 2,
}
_IPV6 = {
    "accept_ra": 0,
    "accept_redirects": 0,
    "accept_source_route": -1,
    "addr_gen_mode": 1,  # no fe80:: address by itself: nothing to announce or to probe
    "autoconf": 0,
    "dad_transmits": 0,
    "router_solicitations": 0,
}


def sysctls(role: Role) -> Mapping[str, int]:
    """Paths below /proc/sys and their values."""
    forward = int(role in _FORWARDING)
    settings = {"net/ipv4/ip_forward": forward, "net/ipv4/ip_no_pmtu_disc": _VERIFIED_PMTU}
    for where in ("all", "default", "lo"):  # lo is there already, with the kernel's defaults
        settings[f"net/ipv4/conf/{where}/forwarding"] = forward
        settings |= {f"net/ipv4/conf/{where}/{key}": value for key, value in _IPV4.items()}
        settings |= {f"net/ipv6/conf/{where}/{key}": value for key, value in _IPV6.items()}
        settings[f"net/ipv6/conf/{where}/forwarding"] = forward
    return settings

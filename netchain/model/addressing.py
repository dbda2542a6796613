"""Addresses of qubes, as Qubes OS gives them: point to point, the same whatever the netvm.

IPv4 10.137.0.0/16 and IPv6 fd09:24ef:4179::/48, the latter with the IPv4 address as its last
32 bits (core-admin `vm/mix/net.py`); /32 and /128 on every interface, onlink default route to the
netvm. A netvm has its own address on every downstream interface. MAC addresses are Qubes' too:
00:16:3e:5e:6c:00 at the client, fe:ff:ff:ff:ff:ff at the netvm, so neighbours can be permanent.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netchain.model.chain import Chain, Qube, Role

QUBES4 = IPv4Network("10.137.0.0/16")
QUBES6 = IPv6Network("fd09:24ef:4179::/48")
VIRTUAL_DNS = (IPv4Address("10.139.1.1"), IPv4Address("10.139.1.2"))
CLIENT_MAC = "00:16:3e:5e:6c:00"
NETVM_MAC = "fe:ff:ff:ff:ff:ff"
_FIRST_QID = 10
FIRST_DISPOSABLE = 1 << 14
"""Disposables' numbers are counted from here: no profile is that long."""

GROUP_UPLINK, GROUP_DOWNSTREAM, GROUP_TUNNEL = 1, 2, 3
UPLINK, TUNNEL = "eth0", "wg0"
UPLINKS = (UPLINK, "eth1")
"""Names of a qube's uplink: a switch makes the new one beside the old one."""


def qid(chain: Chain, name: str) -> int:
    """The qube's number; KeyError when the chain has no such qube."""
    dispid = chain[name].dispid
    return FIRST_DISPOSABLE + dispid if dispid else _FIRST_QID + chain.number(name)


def address4(chain: Chain, name: str) -> IPv4Address:
    return QUBES4.network_address + qid(chain, name)


def address6(chain: Chain, name: str) -> IPv6Address:
    return QUBES6.network_address + int(address4(chain, name))


def downstream_interface(chain: Chain, client: str) -> str:
    """The netvm's interface towards a client, in Qubes' style: vif<number>.0."""
    return f"vif{qid(chain, client)}.0"


def senders_behind(chain: Chain, qube: Qube) -> tuple[Qube, ...]:
    """The qubes whose address may be the source of packets out of this qube's uplink.

    A firewall passes its clients' addresses on; a VPN qube hides its clients in its own outer
    packets; a Tor gateway and a workstation only ever send as themselves.
    """
    if qube.role not in (Role.FIREWALL, Role.NET):
        return (qube,)
    behind = [qube]
    for client in chain.clients(qube.name):
        behind += senders_behind(chain, client)
    return tuple(behind)


def has_ipv6_route(chain: Chain, qube: Qube) -> bool:
    """Whether the qube gets an IPv6 default route: not below a Tor gateway, which has none."""
    return qube.netvm is not None and chain[qube.netvm].role is not Role.TOR_GATEWAY

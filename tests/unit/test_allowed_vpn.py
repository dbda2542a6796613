"""What may be inside a VPN's tunnel, seen from which side, and VPNs that are not WireGuard.

The expectations are literals, as in test_allowed.py. Not covered: a VPN inside a VPN.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from netchain.model.allowed import Link, States, allowed, links, tunnels
from netchain.model.chain import Chain, Endpoint, QubeState, Role, VpnSettings
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.flow import LinkType
from netchain.wire.judge import judge
from netchain.wire.timeline import Timeline

Shipped = Callable[[str], Chain]
INSIDE4, INSIDE6 = IPv4Address("10.64.0.2"), IPv6Address("fd00:64::2")
SITE4, SITE6 = IPv4Address("192.0.2.9"), IPv6Address("2001:db8::9")
SYN = build.tcp_syn(INSIDE4, SITE4, 40000, 443)
ANSWER = build.tcp_syn(SITE4, INSIDE4, 443, 40000)


def flows(chain: Chain, link: Link, states: States | None = None) -> set[str]:
    ready = {qube.name: QubeState.READY for qube in chain.qubes}
    return {
        f"{p.direction} {p.kind} {p.source}:{p.sport} > {p.destination}:{p.dport}"
        for p in allowed(chain, link, ready if states is None else ready | states)
    }


def inside(kinds: tuple[str, ...]) -> set[str]:
    """What may come down is the provider's to say."""
    found = set()
    for own, every in (("10.64.0.2/32", "0.0.0.0/0"), ("fd00:64::2/128", "::/0")):
        found |= {f"up {kind} {own}:None > {every}:None" for kind in kinds}
        found |= {f"down {kind} {every}:None > {own}:None" for kind in ("TCP", "UDP", "ICMP echo")}
        found.add(f"down ICMP error about an allowed flow {every}:None > {own}:None")
    return found


@pytest.mark.parametrize(
    ("profile", "kinds"),
    [("vpn-before-tor", ("TCP",)), ("vpn-only", ("TCP", "UDP", "ICMP echo"))],
)
def test_a_tunnel_carries_what_the_clients_may_send_from_its_own_address(
    shipped: Shipped, profile: str, kinds: tuple[str, ...]
) -> None:
    """And no neighbour discovery: there is no link layer."""
    chain = shipped(profile)
    (tunnel,) = tunnels(chain)
    assert tunnel.name == "sys-proxyvm--tunnel"
    assert flows(chain, tunnel) == inside(kinds)


def test_nothing_goes_into_the_tunnel_while_its_clients_or_the_vpn_are_closed(
    shipped: Shipped,
) -> None:
    chain = shipped("vpn-before-tor")
    (tunnel,) = tunnels(chain)
    down = {flow for flow in inside(("TCP",)) if flow.startswith("down")}
    for qube in chain.qubes:
        on_the_way = qube.name in ("sys-whonix", "sys-proxyvm")
        found = flows(chain, tunnel, {qube.name: QubeState.BLOCKED})
        assert found == (down if on_the_way else inside(("TCP",))), qube.name


def test_a_tunnel_without_an_address_of_a_family_carries_nothing_of_it(shipped: Shipped) -> None:
    settings = VpnSettings("wireguard", Endpoint(IPv4Address("198.18.7.1"), 51820), (INSIDE4,))
    chain = with_vpn(shipped("vpn-only"), settings)
    assert not [flow for flow in flows(chain, tunnels(chain)[0]) if "::" in flow]


def with_vpn(chain: Chain, settings: VpnSettings) -> Chain:
    return chain.resolved({q.name: settings for q in chain.with_role(Role.VPN_PROXY)}, chain.wan)


@pytest.mark.parametrize(
    ("kind", "protocol", "seen"),
    [("wireguard", "udp", "WireGuard (UDP)"), ("openvpn", "udp", "UDP"), ("openvpn", "tcp", "TCP")],
)
def test_a_vpn_may_send_by_its_own_protocol_to_its_own_port_only(
    shipped: Shipped, kind: str, protocol: str, seen: str
) -> None:
    endpoint = Endpoint(IPv4Address("198.18.7.1"), 443, protocol)
    chain = with_vpn(shipped("vpn-before-tor"), VpnSettings(kind, endpoint, (INSIDE4,)))
    own, server = "10.137.0.12/32", "198.18.7.1/32"
    for link in links(chain)[1:3]:
        assert {flow for flow in flows(chain, link) if own in flow and server in flow} == {
            f"up {seen} {own}:None > {server}:443", f"down {seen} {server}:443 > {own}:None",
        }  # fmt: skip


def leaks(chain: Chain, packet: bytes, *, outgoing: bool) -> int:
    timeline = Timeline()
    timeline.change(0, 0, {qube.name: QubeState.READY for qube in chain.qubes})
    name = tunnels(chain)[0].name
    frame = Captured(name, 10, outgoing, packet, link_type=LinkType.RAW_IP)
    return len(judge(chain, timeline, {name: [frame]})[0].leaks)


def test_what_leaves_by_the_tunnels_interface_goes_up(shipped: Shipped) -> None:
    """The tap is at the client's end, on other links at the netvm's."""
    chain = shipped("vpn-before-tor")
    forged = from_source(SYN, IPv4Address("10.137.0.12"))
    assert leaks(chain, SYN, outgoing=True) == leaks(chain, ANSWER, outgoing=False) == 0
    assert leaks(chain, SYN, outgoing=False) == leaks(chain, ANSWER, outgoing=True) == 1
    assert leaks(chain, forged, outgoing=True) == leaks(chain, forged, outgoing=False) == 1
    assert leaks(chain, build.udp(INSIDE4, SITE4, 40000, 53, b"x"), outgoing=True) == 1
    assert leaks(chain, build.tcp_syn(INSIDE6, SITE6, 40000, 443), outgoing=True) == 0


def from_source(packet: bytes, source: IPv4Address) -> bytes:
    return build.tcp_syn(source, IPv4Address(packet[16:20]), 40000, 443)

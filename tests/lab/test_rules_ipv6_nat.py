"""IPv6 in the tunnel has the tunnel's own address, or does not enter it (C12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from in_chain import TUNNEL, WEB4, WEB6, InChain, flows, tcp, udp

from netchain.model.chain import Chain, Role

pytestmark = pytest.mark.lab
TUNNEL6, WRONG6 = "fd00:64::2", "2001:db8:bad::2"


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-only")


def test_another_prefix_on_the_tunnel_is_never_a_source(chain: Chain) -> None:
    """As an advertisement in the tunnel would put there; masquerading takes what it finds."""
    with InChain(chain, "sys-proxyvm") as vpn:
        vif, own4, own6 = vpn.client()
        vpn.ip(f"addr del {TUNNEL6}/128 dev {TUNNEL}", f"addr add {WRONG6}/64 dev {TUNNEL} nodad")
        vpn.ip(f"route replace ::/0 dev {TUNNEL}")
        for packet in (tcp(own6, WEB6, 443), udp(own6, WEB6, 443), udp(own6, WEB6, 53)):
            assert vpn.probe(packet, vif) == {}
        assert list(vpn.probe(tcp(own4, WEB4, 443), vif)) == [TUNNEL]
        vpn.ip(f"addr del {WRONG6}/64 dev {TUNNEL}", f"addr add {TUNNEL6}/128 dev {TUNNEL} nodad")
        vpn.ip(f"route replace ::/0 dev {TUNNEL}")
        assert flows(vpn.probe(tcp(own6, WEB6, 444), vif)[TUNNEL])[0][1] == TUNNEL6


def test_a_provider_without_ipv6_carries_none(chain: Chain) -> None:
    vpns = {
        qube.name: replace(qube.vpn.settings, addresses=qube.vpn.settings.addresses[:1])
        for qube in chain.with_role(Role.VPN_PROXY)
        if qube.vpn is not None and qube.vpn.settings is not None
    }
    with InChain(chain.resolved(vpns, chain.wan), "sys-proxyvm") as vpn:
        vif, _, own6 = vpn.client()
        for way in ("", f"addr add {WRONG6}/64 dev {TUNNEL} nodad"):
            vpn.ip(*[way] if way else [], f"route replace ::/0 dev {TUNNEL}")
            for packet in (tcp(own6, WEB6, 443), udp(own6, WEB6, 443), udp(own6, WEB6, 53)):
                assert vpn.probe(packet, vif) == {}
        vpn.tunnel_breaks()
        assert vpn.probe(tcp(own6, WEB6, 443), vif) == {}

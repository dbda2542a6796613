"""The VPNs of a chain are looked up together, on every uplink by the same way.

Not covered: what is in a configuration (test_wireguard_config.py), how much fits (test_nested.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from chains import VPN, WAN
from sites import KEY

from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain, Role
from netchain.vpn.configurations import resolve
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard


def load(_: str) -> WireGuard:
    return WireGuard(VPN, Secret(KEY), KEY)


def test_a_vpn_in_a_vpn_gets_a_tunnel_that_fits(shipped: Callable[[str], Chain]) -> None:
    chain, vpns = resolve(shipped("two-vpns-before-tor"), WAN, load)
    assert [vpn.settings for vpn in vpns.values()] == [VPN, replace(VPN, mtu=VPN.mtu - 60)]
    of_chain = [q.vpn.settings for q in chain.with_role(Role.VPN_PROXY) if q.vpn is not None]
    assert of_chain == [vpn.settings for vpn in vpns.values()]
    assert chain.wan == WAN


def test_every_configuration_that_is_bad_is_told(shipped: Callable[[str], Chain]) -> None:
    def bad(config: str) -> WireGuard:
        raise NetchainError(Problem("E020", f"no {config}"))

    with pytest.raises(NetchainError) as raised:
        resolve(shipped("two-providers"), WAN, bad)
    told = [problem.title for problem in raised.value.problems]
    assert told == ["no lab:provider-a", "no lab:provider-b"]

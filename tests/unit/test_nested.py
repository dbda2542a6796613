"""A VPN in a VPN: what may be on its wires, and that its packets fit."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from chains import VPN, chain
from hypothesis import given
from hypothesis import strategies as st

from netchain.errors import Exit, NetchainError
from netchain.model.allowed import FlowPattern, Kind, Link, allowed, links, tunnels
from netchain.model.chain import Chain, Endpoint, Qube, QubeState, Role, Vpn
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName
from netchain.model.nested import fitted

NEIGHBOURS = (Kind.ARP, Kind.NDP, Kind.MLD)


def flows(within: Chain, name: str) -> set[str]:
    """What the link or tunnel may carry upwards while all are ready, in short words."""
    ready = dict.fromkeys((qube.name for qube in within.qubes), QubeState.READY)
    link = next(one for one in (*links(within), *tunnels(within)) if one.name == name)
    return {_shown(p) for p in allowed(within, link, ready) if _is_flow(p)}


def _is_flow(pattern: FlowPattern) -> bool:
    return pattern.direction == "up" and pattern.kind not in NEIGHBOURS


def _shown(pattern: FlowPattern) -> str:
    ends = [str(n).removesuffix("/32").removesuffix("/128") for n in
            (pattern.source, pattern.destination)]  # fmt: skip
    return f"{pattern.kind} {ends[0]} > {ends[1]}"


def test_only_the_vpns_are_ever_outside_the_inner_tunnel() -> None:
    made = chain("two-vpns-before-tor")
    outer = "WireGuard (UDP) {} > 198.18.7.1"
    assert flows(made, "isp") == {outer.format("100.64.0.2")}
    for link in ("sys-firewall--sys-net", "sys-vpn-outer--sys-firewall"):
        assert flows(made, link) == {outer.format("10.137.0.12")}
    inner = "WireGuard (UDP) {} > 198.19.8.1"
    assert flows(made, "sys-vpn-inner--sys-vpn-outer") == {inner.format("10.137.0.13")}
    assert flows(made, "sys-vpn-outer--tunnel") == {inner.format("10.64.0.2")}
    assert flows(made, "sys-vpn-inner--tunnel") == {
        "TCP 10.65.0.2 > 0.0.0.0/0",
        "TCP fd00:65::2 > ::/0",
    }


def test_two_providers_have_a_wire_and_a_tunnel_each() -> None:
    made = chain("two-providers")
    both = {f"WireGuard (UDP) 100.64.0.2 > {server}" for server in ("198.18.7.1", "198.19.8.1")}
    assert flows(made, "isp") == both
    assert flows(made, "sys-vpn-b--sys-firewall") == {"WireGuard (UDP) 10.137.0.13 > 198.19.8.1"}
    assert flows(made, "sys-vpn-b--tunnel") == set()  # nobody is below it
    assert len(flows(made, "sys-vpn-a--tunnel")) == 2


def test_each_workstation_has_its_own_wire() -> None:
    made = chain("many-workstations")
    for number, name in enumerate(("anon-whonix", "anon-mail", "anon-chat"), 14):
        assert flows(made, f"{name}--sys-whonix") == {
            f"TCP 10.137.0.{number} > 0.0.0.0/0",
            f"UDP 10.137.0.{number} > 10.137.0.13",
        }


def stack(count: int) -> Chain:
    """So many VPNs in each other; the profile names the innermost first."""
    names = [QubeName(f"vpn{n}") for n in range(count)]
    vpns = [
        Qube(name, Role.VPN_PROXY, Label.RED, above, Vpn("lab:provider-a"))
        for name, above in zip(names, [QubeName("net"), *names], strict=False)
    ]
    net = Qube(QubeName("net"), Role.NET, Label.RED)
    return Chain(ChainName("c"), (*reversed(vpns), net))


SIZES = st.lists(st.tuples(st.integers(1280, 1500), st.booleans()), min_size=1, max_size=4)


@given(SIZES)
def test_a_tunnel_fits_the_one_that_it_goes_through(sizes: list[tuple[int, bool]]) -> None:
    """Or it is refused; what is first or small enough already stays as it was."""
    made = stack(len(sizes))
    six = Endpoint(IPv6Address("2001:db8:7::1"), 51820)
    given_ = {
        QubeName(f"vpn{n}"): replace(VPN, mtu=mtu, endpoint=six if is_six else VPN.endpoint)
        for n, (mtu, is_six) in enumerate(sizes)
    }
    try:
        found = fitted(made, given_)
    except NetchainError as error:
        assert error.exit_code is Exit.USAGE
        assert len(sizes) > 1
        return
    assert found[QubeName("vpn0")] == given_[QubeName("vpn0")]
    for n in range(1, len(sizes)):
        inner, outer = found[QubeName(f"vpn{n}")], found[QubeName(f"vpn{n - 1}")]
        room = outer.mtu - (80 if sizes[n][1] else 60)
        assert inner.mtu == min(sizes[n][0], room)
        assert inner.mtu >= 1280


def test_vpns_side_by_side_take_nothing_from_each_other() -> None:
    made = chain("two-providers")
    assert {q.vpn.settings.mtu for q in made.qubes if q.vpn and q.vpn.settings} == {1420}


def test_too_many_are_refused() -> None:
    with pytest.raises(NetchainError) as caught:
        fitted(stack(4), dict.fromkeys((QubeName(f"vpn{n}") for n in range(4)), VPN))
    assert "vpn2 leaves 1240 bytes for the one of vpn3" in str(caught.value)


def test_a_chain_of_two_vpns_has_two_tunnels() -> None:
    names = [link.name for link in links(chain("two-vpns-before-tor"))]
    assert names == [
        "isp", "sys-firewall--sys-net", "sys-vpn-outer--sys-firewall",
        "sys-vpn-inner--sys-vpn-outer", "sys-whonix--sys-vpn-inner", "anon-whonix--sys-whonix",
    ]  # fmt: skip
    assert Link(QubeName("sys-vpn-inner"), None, tunnel=True) in tunnels(
        chain("two-vpns-before-tor")
    )

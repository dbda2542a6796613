"""What may be on each wire of the shipped profiles, written down by hand, and what closing does.

The expectations are literals on purpose: they were worked out from the tables of the design, not
printed from the function. Not covered: that the rules and the judge do the same (tests/lab and
test_judge.py), and endpoints that are IPv6 addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netchain.model.allowed import Direction, FlowPattern, Kind, Link, States, allowed, links
from netchain.model.chain import Chain, QubeState, Role, Vpn
from netchain.model.names import QubeName

Shipped = Callable[[str], Chain]
PROFILES = ("vpn-before-tor", "vpn-only", "tor-only")
NEIGHBOURS = {Kind.ARP, Kind.NDP, Kind.MLD}
STATES: st.SearchStrategy[QubeState] = st.sampled_from(QubeState)
IPV6 = "fd09:24ef:4179::a89:"
"""Of a qube: followed by the same two bytes with which its IPv4 address ends."""


def tcp(source: str) -> set[str]:
    everywhere = "::/0" if ":" in source else "0.0.0.0/0"
    return {f"up TCP {source} > {everywhere}", f"down TCP {everywhere} > {source}"}


def errors(source: str) -> set[str]:
    everywhere = "::/0" if ":" in source else "0.0.0.0/0"
    return {f"down ICMP error about an allowed flow {everywhere} > {source}"}


def vpn(source: str) -> set[str]:
    return {
        f"up WireGuard (UDP) {source} > 198.18.7.1:51820",
        f"down WireGuard (UDP) 198.18.7.1:51820 > {source}",
    } | errors(source)


def everything(source: str) -> set[str]:
    """What a workstation may send through a VPN."""
    everywhere = "::/0" if ":" in source else "0.0.0.0/0"
    flows = set[str]()
    for kind in ("UDP", "ICMP echo"):
        flows |= {f"up {kind} {source} > {everywhere}", f"down {kind} {everywhere} > {source}"}
    return flows | tcp(source) | errors(source)


def strangers(own: str) -> set[str]:
    """What anybody may send down the uplink."""
    everywhere = "::/0" if ":" in own else "0.0.0.0/0"
    return {f"down {kind} {everywhere} > {own}" for kind in ("TCP", "UDP", "ICMP echo")}


def torified(source: str, gateway: str) -> set[str]:
    """What a workstation may send to its Tor gateway: IPv4 only."""
    dns = {f"up UDP {source} > {gateway}:53", f"down UDP {gateway}:53 > {source}"}
    return tcp(source) | dns | errors(source)


EXPECTED: Mapping[str, Mapping[str, set[str]]] = {
    "vpn-before-tor": {
        "isp": vpn("100.64.0.2") | strangers("100.64.0.2") | strangers("2001:db8:a::2"),
        "sys-firewall--sys-net": vpn("10.137.0.12"),
        "sys-proxyvm--sys-firewall": vpn("10.137.0.12"),
        "sys-whonix--sys-proxyvm": tcp("10.137.0.13") | tcp(f"{IPV6}d")
        | errors("10.137.0.13") | errors(f"{IPV6}d"),
        "anon-whonix--sys-whonix": torified("10.137.0.14", "10.137.0.13"),
    },
    "vpn-only": {
        "isp": vpn("100.64.0.2") | strangers("100.64.0.2") | strangers("2001:db8:a::2"),
        "sys-firewall--sys-net": vpn("10.137.0.12"),
        "sys-proxyvm--sys-firewall": vpn("10.137.0.12"),
        "work--sys-proxyvm": everything("10.137.0.13") | everything(f"{IPV6}d"),
    },
    "tor-only": {
        "isp": tcp("100.64.0.2") | tcp("2001:db8:a::2")
        | errors("100.64.0.2") | errors("2001:db8:a::2")
        | strangers("100.64.0.2") | strangers("2001:db8:a::2"),
        "sys-firewall--sys-net": tcp("10.137.0.12") | tcp(f"{IPV6}c")
        | errors("10.137.0.12") | errors(f"{IPV6}c"),
        "sys-whonix--sys-firewall": tcp("10.137.0.12") | tcp(f"{IPV6}c")
        | errors("10.137.0.12") | errors(f"{IPV6}c"),
        "anon-whonix--sys-whonix": torified("10.137.0.13", "10.137.0.12"),
    },
}  # fmt: skip
CASES = [(profile, link) for profile, wires in EXPECTED.items() for link in wires]
PATHS = {
    ("vpn-before-tor", "isp"): "sys-net sys-firewall sys-proxyvm",
    ("vpn-before-tor", "sys-firewall--sys-net"): "sys-firewall sys-proxyvm",
    ("vpn-before-tor", "sys-proxyvm--sys-firewall"): "sys-proxyvm",
    ("vpn-before-tor", "sys-whonix--sys-proxyvm"): "sys-whonix",
    ("vpn-before-tor", "anon-whonix--sys-whonix"): "anon-whonix",
    ("vpn-only", "isp"): "sys-net sys-firewall sys-proxyvm",
    ("vpn-only", "work--sys-proxyvm"): "work",
    ("tor-only", "isp"): "sys-net sys-firewall sys-whonix",
    ("tor-only", "sys-firewall--sys-net"): "sys-firewall sys-whonix",
    ("tor-only", "sys-whonix--sys-firewall"): "sys-whonix",
    ("tor-only", "anon-whonix--sys-whonix"): "anon-whonix",
}
"""Whom a link needs: its senders and every qube between them and the link."""


def link_of(chain: Chain, name: str) -> Link:
    return next(link for link in links(chain) if link.name == name)


def all_in(chain: Chain, state: QubeState) -> dict[QubeName, QubeState]:
    return dict.fromkeys((q.name for q in chain.qubes), state)


def flows(chain: Chain, link: str, states: States) -> set[FlowPattern]:
    """What is allowed but for neighbour discovery."""
    return {p for p in allowed(chain, link_of(chain, link), states) if p.kind not in NEIGHBOURS}


def shown(pattern: FlowPattern) -> str:
    ends = []
    for network, port in ((pattern.source, pattern.sport), (pattern.destination, pattern.dport)):
        text = str(network).removesuffix("/32").removesuffix("/128")
        ends.append(text if port is None else f"{text}:{port}")
    return f"{pattern.direction} {pattern.kind} {ends[0]} > {ends[1]}"


@pytest.mark.parametrize("profile", PROFILES)
def test_no_link_is_forgotten(shipped: Shipped, profile: str) -> None:
    assert [link.name for link in links(shipped(profile))] == list(EXPECTED[profile])


@pytest.mark.parametrize(("profile", "link"), CASES)
def test_what_may_pass_when_all_are_ready(shipped: Shipped, profile: str, link: str) -> None:
    chain = shipped(profile)
    ready = flows(chain, link, all_in(chain, QubeState.READY))
    assert {shown(p) for p in ready} == EXPECTED[profile][link]
    assert all(p.why for p in ready)


@pytest.mark.parametrize("state", [QubeState.BLOCKED, QubeState.STOPPING, None])
@pytest.mark.parametrize(("profile", "link"), CASES)
def test_closed_qubes_leave_neighbour_discovery_of_one_hop(
    shipped: Shipped, profile: str, link: str, state: QubeState | None
) -> None:
    chain = shipped(profile)
    states = all_in(chain, state) if state else {}
    wire = link_of(chain, link)
    left = flows(chain, link, states)  # answers of the internet, which does not know
    assert not left if wire.netvm else {flow.direction for flow in left} == {Direction.DOWN}
    for pattern in set(allowed(chain, wire, states)) - left:
        if pattern.kind is Kind.MLD:
            assert str(pattern.source) in ("::/128", "fe80::/10")
            assert str(pattern.destination) == "ff02::/16"
        else:
            assert pattern.source.num_addresses == pattern.destination.num_addresses == 1


@pytest.mark.parametrize("state", [QubeState.STARTING, QubeState.DEGRADED])
@pytest.mark.parametrize(("profile", "link"), CASES)
def test_a_broken_service_opens_nothing(
    shipped: Shipped, profile: str, link: str, state: QubeState
) -> None:
    """vpn-down and tor-down among them: the wires may carry what they may always, no other way."""
    chain = shipped(profile)
    ready = all_in(chain, QubeState.READY)
    for name in ready:
        assert flows(chain, link, ready | {name: state}) <= flows(chain, link, ready)


@pytest.mark.parametrize(("profile", "link"), PATHS)
def test_closing_a_qube_on_the_path_closes_the_link(
    shipped: Shipped, profile: str, link: str
) -> None:
    chain = shipped(profile)
    ready = all_in(chain, QubeState.READY)
    needed = PATHS[profile, link].split()
    for name in ready:
        left = flows(chain, link, ready | {name: QubeState.BLOCKED})
        expected = flows(chain, link, ready)
        if name in needed:  # nothing is sent any more; answers still come
            expected = {flow for flow in expected if flow.direction is Direction.DOWN}
        if link.endswith(f"--{name}"):  # a closed netvm sends nothing; its client may still try
            expected = {flow for flow in expected if flow.direction is Direction.UP}
        assert left == expected, name


@pytest.mark.parametrize("profile", PROFILES)
def test_errors_never_go_up(shipped: Shipped, profile: str) -> None:
    chain = shipped(profile)
    for link in links(chain):
        for pattern in allowed(chain, link, all_in(chain, QubeState.READY)):
            assert (pattern.kind, pattern.direction) != (Kind.ICMP_ERROR, "up")


@pytest.mark.parametrize("profile", ["vpn-before-tor", "vpn-only"])
@given(data=st.data())
def test_only_the_vpn_is_ever_on_the_links_before_it(
    shipped: Shipped, profile: str, data: st.DataObject
) -> None:
    """The promise, in any states: outside the VPN there is its own flow and errors about it. What
    strangers send to the uplink's address is not of the chain."""
    chain = shipped(profile)
    states = {q.name: data.draw(STATES) for q in chain.qubes}
    for link in ("isp", "sys-firewall--sys-net", "sys-proxyvm--sys-firewall"):
        found = {p for p in flows(chain, link, states) if "strangers" not in p.why}
        kinds = {p.kind for p in found}
        assert kinds <= {Kind.WIREGUARD, Kind.ICMP_ERROR}


@pytest.mark.parametrize("profile", PROFILES)
@given(data=st.data())
def test_closing_a_qube_never_allows_more(
    shipped: Shipped, profile: str, data: st.DataObject
) -> None:
    chain = shipped(profile)
    states = {q.name: data.draw(STATES) for q in chain.qubes}
    closed = data.draw(st.sampled_from([q.name for q in chain.qubes]))
    fewer = states | {closed: data.draw(st.sampled_from([QubeState.BLOCKED, QubeState.STOPPING]))}
    for link in links(chain):
        assert set(allowed(chain, link, fewer)) <= set(allowed(chain, link, states))


def test_an_unknown_uplink_allows_nothing_on_it(shipped: Shipped) -> None:
    chain = replace(shipped("vpn-before-tor"), wan=None)
    found = allowed(chain, links(chain)[0], all_in(chain, QubeState.READY))
    assert {p.kind for p in found} == {Kind.MLD}


def test_a_vpn_that_is_not_resolved_may_send_nothing(shipped: Shipped) -> None:
    chain = shipped("vpn-only")
    bare = tuple(
        replace(q, vpn=Vpn("x")) if q.role is Role.VPN_PROXY else q for q in chain.qubes
    )  # fmt: skip
    chain = replace(chain, qubes=bare)
    ready = all_in(chain, QubeState.READY)
    up = {
        link
        for link in EXPECTED["vpn-only"]
        if any(p.direction is Direction.UP for p in flows(chain, link, ready))
    }
    assert up == {"work--sys-proxyvm"}

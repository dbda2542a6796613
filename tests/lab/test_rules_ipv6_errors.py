"""Errors about flows in both families, and a VPN that is reached over IPv6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest
from in_chain import (
    TUNNEL,
    UP,
    WEB4,
    WEB6,
    InChain,
    connects,
    flows,
    frame,
    ip,
    layers,
    sends,
    tcp,
    udp,
)
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded
from scapy.packet import Packet

from netchain.model.chain import Chain, Endpoint, Role
from netchain.nft.fill import Facts

pytestmark = pytest.mark.lab

MARK = Facts(tor_uid=0).vpn_mark
ENDPOINT6, PORT = "2001:db8:7::1", 51820
ERRORS4 = [ICMP(type=3, code=4, nexthopmtu=1400), ICMP(type=11), ICMP(type=12)]
ERRORS6 = [ICMPv6PacketTooBig(mtu=1400), ICMPv6TimeExceeded(), ICMPv6DestUnreach()]


def errors(about: Packet, source: str) -> list[bytes]:
    """What a router on the way may say about a packet that the qube sent."""
    kinds = ERRORS6 if ":" in source else ERRORS4
    return [frame(ip(source, about.src) / kind / about) for kind in kinds]


def assert_taken(qube: InChain, sent: bytes, routers: tuple[str, str], rule: str) -> None:
    """The qube takes in each kind of error about what it sent."""
    source = routers[":" in layers(sent).src]
    for error in errors(layers(sent), source):
        before = qube.counted()
        qube.probe(error, UP)
        assert rule in qube.counted() - before


@pytest.fixture
def over_ipv6(shipped: Callable[[str], Chain]) -> Chain:
    """vpn-only, its VPN's endpoint having an IPv6 address."""
    chain = shipped("vpn-only")
    [vpn] = chain.with_role(Role.VPN_PROXY)
    assert vpn.vpn is not None and vpn.vpn.settings is not None
    settings = replace(vpn.vpn.settings, endpoint=Endpoint(ip_address(ENDPOINT6), PORT))
    return chain.resolved({vpn.name: settings}, chain.wan)


def test_a_workstation_hears_of_its_flows(shipped: Callable[[str], Chain]) -> None:
    routers = ("10.137.0.12", "fd09:24ef:4179::a89:c")
    with InChain(shipped("vpn-only"), "work") as work:
        for kind, there in (("udp", WEB4), ("udp6", WEB6)):
            assert sends(work.socket(kind), (there, 443))
            [sent] = work.seen()[UP]
            rule = "+input: errors about flows that this qube opened"
            assert_taken(work, sent, routers, rule)


def test_tor_hears_of_its_flows(shipped: Callable[[str], Chain]) -> None:
    """PacketTooBig above all: without it a path with a smaller MTU is dead."""
    routers = ("10.137.0.12", "fd09:24ef:4179::a89:c")
    with InChain(shipped("vpn-before-tor"), "sys-whonix") as gateway:
        for kind, there in (("tcp", WEB4), ("tcp6", WEB6)):
            connects(gateway.socket(kind), (there, 9001))
            [sent] = gateway.seen()[UP]
            assert_taken(gateway, sent, routers, "+input_uplink: errors about tor's flows")


def test_a_vpn_over_ipv6_reaches_its_endpoint_and_hears_of_it(over_ipv6: Chain) -> None:
    own = "fd09:24ef:4179::a89:c"
    with InChain(over_ipv6, "sys-proxyvm") as vpn:
        sock = vpn.socket("udp6", mark=MARK, bind=(own, 1234))
        assert not sends(vpn.socket("udp6"), (ENDPOINT6, PORT))
        for there in ((ENDPOINT6, 53), (WEB6, PORT)):
            vpn.ip(f"route replace {there[0]}/128 via fd09:24ef:4179::a89:b dev {UP} onlink")
            assert not sends(sock, there)
        assert sends(sock, (ENDPOINT6, PORT))
        [sent] = vpn.seen()[UP]
        assert flows([sent]) == [("udp", own, 1234, ENDPOINT6, PORT)]
        routers = ("10.137.0.11", "fd09:24ef:4179::a89:b")
        assert_taken(vpn, sent, routers, "+input_uplink: errors about the VPN's flow")
        assert vpn.probe(udp(ENDPOINT6, own, 1234, PORT, b"pong"), UP) == {}
        assert vpn.probe(udp(WEB6, own, 1234, PORT, b"evil"), UP) == {}
        assert vpn.probe(udp(ENDPOINT6, own, 1234, 53, b"evil"), UP) == {}
        assert sock.recv(9) == b"pong"
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(9)


def test_a_vpn_over_ipv6_does_not_carry_on_a_flow_of_its_server(over_ipv6: Chain) -> None:
    with InChain(over_ipv6, "sys-proxyvm") as vpn:
        before = vpn.counted()
        vpn.probe(udp(ENDPOINT6, "fd09:24ef:4179::a89:c", 1234, PORT), UP)
        assert "input_uplink: nobody may open a flow from upstream" in vpn.counted() - before


def test_the_tunnel_brings_errors_to_downstream(shipped: Callable[[str], Chain]) -> None:
    with InChain(shipped("vpn-only"), "sys-proxyvm") as vpn:
        vif, *own = vpn.client()
        for source, there, router in zip(
            own, (WEB4, WEB6), ("192.0.2.9", "2001:db8::9"), strict=True
        ):
            [sent] = vpn.probe(udp(source, there, 443), vif)[TUNNEL]
            for error in errors(layers(sent), router):
                assert [flow[3] for flow in flows(vpn.probe(error, TUNNEL)[vif])] == [source]


@pytest.mark.parametrize("name", ["sys-firewall", "sys-net"])
def test_a_vpn_over_ipv6_is_passed_on_with_its_errors(over_ipv6: Chain, name: str) -> None:
    source, net = "fd09:24ef:4179::a89:c", name == "sys-net"
    vif = "vif11.0" if net else "vif12.0"
    shown = "2001:db8:a::2" if net else source
    with InChain(over_ipv6, name) as qube:
        [sent] = qube.probe(udp(source, ENDPOINT6, PORT), vif)[UP]
        assert flows([sent]) == [("udp", shown, 40000, ENDPOINT6, PORT)]
        answer = udp(ENDPOINT6, shown, 40000, PORT)
        assert flows(qube.probe(answer, UP)[vif]) == [("udp", ENDPOINT6, PORT, source, 40000)]
        for error in errors(layers(sent), "2001:db8::9"):
            assert [flow[3] for flow in flows(qube.probe(error, UP)[vif])] == [source]
        for other in (
            udp(source, ENDPOINT6, 53),
            tcp(source, ENDPOINT6, PORT),
            udp(source, WEB6, PORT),
        ):
            assert qube.probe(other, vif) == {}
        qube.ip(f"link set {UP} mtu 1300")
        told = qube.probe(udp(source, ENDPOINT6, PORT, payload=bytes(1350)), vif)
        assert flows(told.pop(vif)) == [("icmp", str(qube.own6), 2, source, 0)]
        assert told == {}


@pytest.mark.parametrize("name", ["sys-firewall", "sys-net"])
def test_tor_alone_is_passed_on_in_both_families(
    shipped: Callable[[str], Chain], name: str
) -> None:
    with InChain(shipped("tor-only"), name) as qube:
        vif = "vif11.0" if name == "sys-net" else "vif12.0"
        for source, there in (("10.137.0.12", WEB4), ("fd09:24ef:4179::a89:c", WEB6)):
            [sent] = qube.probe(tcp(source, there, 9001), vif)[UP]
            for error in errors(layers(sent), "192.0.2.9" if "." in there else "2001:db8::9"):
                assert [flow[3] for flow in flows(qube.probe(error, UP)[vif])] == [source]
            answer = ip(there, layers(sent).src) / TCP(sport=9001, dport=layers(sent)[TCP].sport,
                                                       flags="SA", ack=1)  # fmt: skip
            assert vif in qube.probe(frame(answer), UP)
            assert qube.probe(udp(source, there, 9001), vif) == {}
            assert qube.probe(frame(ip(source, there) / UDP(dport=53)), vif) == {}

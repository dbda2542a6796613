"""tor-gateway.nft with real packets: through tor's ports or nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from in_chain import (
    STRAY,
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
from scapy.layers.inet import ICMP, TCP
from scapy.layers.inet6 import ICMPv6EchoRequest

from netchain.model.chain import Chain
from netchain.nft.fill import Facts

pytestmark = pytest.mark.lab

OWN, OWN6, NETVM = "10.137.0.13", "fd09:24ef:4179::a89:d", "10.137.0.12"
VIF, CLIENT, CLIENT6 = "vif14.0", "10.137.0.14", "fd09:24ef:4179::a89:e"
SOMEBODY_ELSE = Facts(tor_uid=1)


@pytest.fixture
def gateway(chain: Chain) -> Iterator[InChain]:
    """Every program of the test in it is uid 0, and so is its tor."""
    with InChain(chain, "sys-whonix") as qube:
        yield qube


def test_tcp_to_anywhere_is_taken_by_the_transport(gateway: InChain) -> None:
    tor = gateway.socket("tcp", bind=(OWN, 9040), listen=True)
    seen = gateway.probe(tcp(CLIENT, WEB4, 443, seq=100), VIF)
    assert flows(seen.pop(VIF)) == [("tcp", WEB4, 443, CLIENT, 40000)]
    assert seen == {}
    [answer] = gateway.probe(tcp(CLIENT, WEB4, 443, seq=100), VIF)[VIF]
    ack = layers(answer)[TCP].seq + 1
    gateway.send(tcp(CLIENT, WEB4, 443, flags="A", seq=101, ack=ack), VIF)
    gateway.send(frame(ip(CLIENT, WEB4) / TCP(sport=40000, dport=443, flags="PA", seq=101, ack=ack)
                       / b"GET"), VIF)  # fmt: skip
    connection, _ = tor.accept()
    with connection:
        assert connection.recv(9) == b"GET"
        connection.send(b"page")
        assert {flow[:3] for flow in flows(gateway.seen()[VIF])} == {("tcp", WEB4, 443)}


def test_names_are_taken_by_the_dnsport(gateway: InChain) -> None:
    tor = gateway.socket("udp", bind=(OWN, 5300))
    assert gateway.probe(udp(CLIENT, OWN, 53), VIF) == {}
    question, client = tor.recvfrom(99)
    assert question == b"hello to whom"
    tor.sendto(b"answer", client)
    assert flows(gateway.seen()[VIF]) == [("udp", OWN, 53, CLIENT, 40000)]


@pytest.mark.parametrize("port", [9050, 9100, 9109, 9150])
def test_socksports_are_reached_by_address(gateway: InChain, port: int) -> None:
    gateway.socket("tcp", bind=(OWN, port), listen=True)
    assert flows(gateway.probe(tcp(CLIENT, OWN, port), VIF)[VIF]) == [
        ("tcp", OWN, port, CLIENT, 40000)
    ]


def test_a_dead_tor_refuses_and_nothing_passes(gateway: InChain) -> None:
    seen = gateway.probe(tcp(CLIENT, WEB4, 443), VIF)
    assert layers(seen.pop(VIF)[0])[TCP].flags == "RA"
    assert seen == {}
    seen = gateway.probe(udp(CLIENT, OWN, 53), VIF)
    assert flows(seen.pop(VIF)) == [("icmp", OWN, 3, CLIENT, 3)]
    assert seen == {}


def test_nothing_else_of_downstream_passes_or_is_served(gateway: InChain) -> None:
    for port in (22, 53, 5300, 9040, 9051, 9200):
        gateway.socket("tcp", bind=("0.0.0.0", port), listen=True)
    for port in (53, 123, 5353, 9050):
        gateway.socket("udp", bind=("0.0.0.0", port))
    dead = [
        *(udp(CLIENT, OWN, port) for port in (5300, 123, 9050)),
        *(udp(CLIENT, there, 53) for there in (WEB4, NETVM)),
        udp(CLIENT, WEB4, 443), udp(CLIENT, "224.0.0.251", 5353),
        udp(CLIENT, "255.255.255.255", 67),
        *(frame(ip(CLIENT, there) / ICMP()) for there in (OWN, WEB4)),
        *(frame(ip(CLIENT6, there) / ICMPv6EchoRequest()) for there in (OWN6, WEB6)),
        tcp(CLIENT6, WEB6, 443), tcp(CLIENT6, OWN6, 9050), udp(CLIENT6, OWN6, 53),
        *(tcp(CLIENT, there, port, flags=flags)
          for flags in ("A", "FA", "R", "", "FPU", "SF", "SR", "SA")
          for there in (WEB4, OWN) for port in (443, 9050, 9040)),
    ]  # fmt: skip
    for probe in dead:
        assert gateway.probe(probe, VIF) == {}, layers(probe).summary()
    served = [tcp(CLIENT, OWN, port) for port in (22, 53, 5300, 9051, 9200)]
    for probe in served:  # redirected to the TransPort, which refuses private addresses
        [flow] = flows(gateway.probe(probe, VIF)[VIF])
        assert flow[0] == "tcp"
    assert gateway.met("redirected TCP") == len(served)


def test_spoofed_sources_get_no_answer(gateway: InChain) -> None:
    """Above all no error or reset on the uplink that quotes the client."""
    gateway.socket("tcp", bind=("0.0.0.0", 9040), listen=True)
    for source in (WEB4, NETVM, OWN, "10.137.0.15", "127.0.0.1", "0.0.0.0", "224.0.0.1"):
        for probe in (tcp(source, WEB4, 443), tcp(source, OWN, 9050), udp(source, OWN, 53)):
            assert gateway.probe(probe, VIF) == {}
    for source in (WEB6, OWN6, "fe80::1", "::"):
        assert gateway.probe(tcp(source, WEB6, 443), VIF) == {}
    assert gateway.probe(tcp(CLIENT, WEB4, 443), STRAY) == {}


def test_only_tor_sends_upstream_and_only_tcp(gateway: InChain, chain: Chain) -> None:
    for kind, there, own in (("tcp", WEB4, OWN), ("tcp6", WEB6, OWN6)):
        connects(gateway.socket(kind), (there, 9001))
        [flow] = flows(gateway.seen()[UP])
        assert (flow[1], *flow[3:]) == (own, there, 9001)
    assert not sends(gateway.socket("udp"), (WEB4, 53))
    assert not sends(gateway.socket("udp6"), (WEB6, 53))
    assert not sends(gateway.socket("raw"), (WEB4, 0), bytes(ip(OWN, WEB4) / ICMP()))
    connects(gateway.socket("tcp", options="07070400000000" + "00"), (WEB4, 9001))
    assert gateway.seen() == {}
    with InChain(chain, "sys-whonix", SOMEBODY_ELSE) as other:
        connects(other.socket("tcp"), (WEB4, 9001))
        connects(other.socket("tcp6"), (WEB6, 9001))
        assert other.seen() == {}


def test_a_flow_begins_with_a_syn(gateway: InChain) -> None:
    raw = gateway.socket("raw")
    for flags in ("A", "PA", "SA", "R", "FA", ""):
        packet = ip(OWN, WEB4) / TCP(sport=4000, dport=9001, flags=flags) / b"payload"
        assert not sends(raw, (WEB4, 0), bytes(packet))
    assert gateway.seen() == {}


def test_upstream_opens_nothing(gateway: InChain) -> None:
    for port in (22, 9040, 9050):
        gateway.socket("tcp", bind=("0.0.0.0", port), listen=True)
    gateway.socket("udp", bind=("0.0.0.0", 5300))
    for there in (OWN, CLIENT):
        for probe in (tcp(WEB4, there, 9050), tcp(NETVM, there, 22), udp(WEB4, there, 5300),
                      udp(WEB4, there, 53), frame(ip(WEB4, there) / ICMP()),
                      tcp(WEB4, there, 9040, flags="A"), tcp(CLIENT, there, 9050)):  # fmt: skip
            assert gateway.probe(probe, UP) == {}
    for probe in (tcp(WEB6, OWN6, 9050), tcp(WEB6, CLIENT6, 22), tcp(OWN6, OWN6, 22)):
        assert gateway.probe(probe, UP) == {}


def test_answers_and_errors_reach_tor(gateway: InChain) -> None:
    connects(gateway.socket("tcp"), (WEB4, 9001))
    [syn] = gateway.seen()[UP]
    port, seq = flows([syn])[0][2], layers(syn)[TCP].seq
    answer = tcp(WEB4, OWN, port, 9001, flags="SA", seq=1, ack=seq + 1)
    assert layers(gateway.probe(answer, UP)[UP][0])[TCP].flags == "A"
    error = frame(ip(NETVM, OWN) / ICMP(type=3, code=4, nexthopmtu=1400) / layers(syn))
    assert gateway.probe(error, UP) == {}
    assert gateway.met("errors about tor's flows") == 1


def test_the_kernel_sends_nothing_upstream_for_tor(gateway: InChain) -> None:
    """A reset has no socket and so no uid."""
    tor = gateway.socket("tcp")
    connects(tor, (WEB4, 9001))
    [syn] = gateway.seen()[UP]
    port, seq = flows([syn])[0][2], layers(syn)[TCP].seq
    tor.close()
    assert gateway.probe(tcp(WEB4, OWN, port, 9001, flags="SA", seq=1, ack=seq + 1), UP) == {}
    assert gateway.met("only TCP, only tor's") >= 1


def test_an_answer_without_its_route_does_not_go_upstream(gateway: InChain) -> None:
    """The client's route is lost, and the default route leads to the uplink."""
    tor = gateway.socket("tcp", bind=(OWN, 9040), listen=True)
    socks = gateway.socket("tcp", bind=(OWN, 9050), listen=True)
    connections = []
    for server, there, port in ((tor, WEB4, 443), (socks, OWN, 9050)):
        [answer] = gateway.probe(tcp(CLIENT, there, port, seq=100), VIF)[VIF]
        ack = layers(answer)[TCP].seq + 1
        gateway.send(tcp(CLIENT, there, port, flags="A", seq=101, ack=ack), VIF)
        connections.append(server.accept()[0])
    gateway.ip(f"route delete {CLIENT}/32 dev {VIF}")
    for connection in connections:
        with connection:
            connection.send(b"the workstation's page")
    assert gateway.seen() == {}
    assert gateway.met("a flow that somebody else opened") >= len(connections)


def test_without_the_redirect_nothing_is_reached(gateway: InChain) -> None:
    gateway.socket("tcp", bind=("0.0.0.0", 443), listen=True)
    gateway.socket("udp", bind=("0.0.0.0", 53))
    gateway.run("nft", "flush", "chain", "inet", "netchain", "into_tor")
    for probe in (tcp(CLIENT, WEB4, 443), tcp(CLIENT, OWN, 443), udp(CLIENT, OWN, 53)):
        assert gateway.probe(probe, VIF) == {}

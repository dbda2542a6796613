"""workstation.nft with real packets, below a Tor gateway and below a VPN."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6

from netchain.model.chain import Chain

pytestmark = pytest.mark.lab

GATEWAY, OWN = "10.137.0.13", "10.137.0.14"  # below Tor
GATEWAY6, OWN6 = "fd09:24ef:4179::a89:d", "fd09:24ef:4179::a89:e"
BELOW_VPN, BELOW_VPN6 = "10.137.0.13", "fd09:24ef:4179::a89:d"
RECORD_ROUTE = "07070400000000" + "00"


@pytest.fixture
def anon(shipped: Callable[[str], Chain]) -> Iterator[InChain]:
    """Below a Tor gateway."""
    with InChain(shipped("vpn-before-tor"), "anon-whonix") as qube:
        yield qube


@pytest.fixture
def work(shipped: Callable[[str], Chain]) -> Iterator[InChain]:
    """Below a VPN."""
    with InChain(shipped("vpn-only"), "work") as qube:
        yield qube


def test_below_tor_goes_tcp_to_anywhere(anon: InChain) -> None:
    for port in (80, 443, 9050, 53):
        connects(anon.socket("tcp"), (WEB4, port))
        [flow] = flows(anon.seen()[UP])
        assert flow[0] == "tcp"
        assert (flow[1], *flow[3:]) == (OWN, WEB4, port)


def test_below_tor_names_are_asked_of_the_gateway_only(anon: InChain) -> None:
    asking = anon.socket("udp")
    assert sends(asking, (GATEWAY, 53))
    assert flows(anon.seen()[UP])[0][3:] == (GATEWAY, 53)
    for other in ((GATEWAY, 5300), (GATEWAY, 123), (WEB4, 53), ("10.137.0.12", 53)):
        assert not sends(asking, other)
    assert anon.seen() == {}


def test_below_tor_nothing_else_goes(anon: InChain) -> None:
    """Nor a word about it: the refusal stays inside the qube."""
    for kind, there in (("udp", (WEB4, 443)), ("udp6", (WEB6, 443)), ("udp6", (GATEWAY6, 53))):
        assert not sends(anon.socket(kind), there)
    for there6 in (WEB6, GATEWAY6):
        connects(anon.socket("tcp6"), (there6, 443))
    raw = anon.socket("raw")
    for packet in (
        ip(OWN, WEB4) / ICMP(),
        ip(OWN, GATEWAY) / ICMP(type=3),
        ip(OWN, WEB4, proto=132) / bytes(20),
        ip("10.137.0.20", WEB4) / layers(tcp(OWN, WEB4, 443))["TCP"],
        ip(WEB4, GATEWAY) / layers(udp(OWN, WEB4, 53))["UDP"],
    ):
        assert not sends(raw, (WEB4, 0), bytes(packet))
    assert anon.seen() == {}


def test_a_refused_connection_fails_at_once(anon: InChain) -> None:
    with pytest.raises(OSError, match=r"Permission denied|unreachable|No route"):
        anon.socket("tcp6").connect((WEB6, 443))
    assert anon.seen() == {}


def test_an_unprivileged_false_source_goes_nowhere(work: InChain) -> None:
    """Anybody may bind an IPv6 socket to an address that is not the qube's (IPV6_FREEBIND)."""
    for source in ("2001:db8::bad", "fd09:24ef:4179::a89:c"):
        assert not sends(work.socket("udp6", freebind=True, bind=(source, 0)), (WEB6, 443))
        connects(work.socket("tcp6", freebind=True, bind=(source, 0)), (WEB6, 443))
    assert work.seen() == {}


def test_options_go_nowhere(anon: InChain, work: InChain) -> None:
    connects(anon.socket("tcp", options=RECORD_ROUTE), (WEB4, 443))
    assert not sends(work.socket("udp", options=RECORD_ROUTE), (WEB4, 443))
    assert anon.seen() == work.seen() == {}


def test_below_a_vpn_go_tcp_udp_and_pings(work: InChain) -> None:
    assert sends(work.socket("udp"), (WEB4, 443))
    assert sends(work.socket("udp6"), (WEB6, 443))
    connects(work.socket("tcp"), (WEB4, 443))
    connects(work.socket("tcp6"), (WEB6, 443))
    assert sends(work.socket("raw"), (WEB4, 0), bytes(ip(BELOW_VPN, WEB4) / ICMP()))
    assert [(flow[0], flow[1]) for flow in flows(work.seen()[UP])] == [
        ("udp", BELOW_VPN), ("udp", BELOW_VPN6), ("tcp", BELOW_VPN), ("tcp", BELOW_VPN6),
        ("icmp", BELOW_VPN),
    ]  # fmt: skip
    for kind in (3, 13, 17):
        assert not sends(
            work.socket("raw"), (WEB4, 0), bytes(ip(BELOW_VPN, WEB4) / ICMP(type=kind))
        )
    assert work.seen() == {}


def test_only_answers_come_in(anon: InChain) -> None:
    server = anon.socket("tcp", bind=("0.0.0.0", 22), listen=True)
    listener = anon.socket("udp", bind=("0.0.0.0", 5353))
    for unasked in (
        tcp(GATEWAY, OWN, 22), tcp(GATEWAY, OWN, 22, flags="A"), tcp(WEB6, OWN6, 22),
        udp(GATEWAY, OWN, 5353), udp(GATEWAY, OWN, 9), udp("10.137.0.99", OWN, 5353),
        udp(OWN, OWN, 5353), udp(GATEWAY, "255.255.255.255", 5353),
        udp(GATEWAY, "224.0.0.251", 5353), frame(ip(GATEWAY, OWN) / ICMP()),
        frame(ip(GATEWAY6, OWN6) / ICMPv6EchoRequest()),
    ):  # fmt: skip
        assert anon.probe(unasked, UP) == {}
    assert anon.probe(tcp(GATEWAY, OWN, 22), STRAY) == {}
    for sock in (server, listener):
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.accept() if sock is server else sock.recv(9)


def test_an_answer_and_an_error_come_in(anon: InChain) -> None:
    asking = anon.socket("udp")
    assert sends(asking, (GATEWAY, 53))
    [asked] = anon.seen()[UP]
    anon.probe(udp(GATEWAY, OWN, asking.getsockname()[1], 53, b"a name"), UP)
    assert asking.recv(99) == b"a name"
    connection = anon.socket("tcp")
    connects(connection, (WEB4, 443))
    [syn] = anon.seen()[UP]
    port, seq = flows([syn])[0][2], layers(syn)["TCP"].seq
    answer = tcp(WEB4, OWN, port, 443, flags="SA", seq=1, ack=seq + 1)
    assert layers(anon.probe(answer, UP)[UP][0])["TCP"].flags == "A"
    error = frame(ip("10.137.0.12", OWN) / ICMP(type=3, code=4, nexthopmtu=1400) / layers(asked))
    assert anon.probe(error, UP) == {}
    assert anon.met("errors about flows that this qube opened") == 1


def test_a_neighbour_is_answered_by_its_own_link(work: InChain) -> None:
    def solicit(source: str, hops: int = 255) -> bytes:
        target = IPv6(src=source, dst=BELOW_VPN6, hlim=hops)
        return frame(target / ICMPv6ND_NS(tgt=BELOW_VPN6) / ICMPv6NDOptSrcLLAddr(lladdr="02::2"))

    netvm = "fd09:24ef:4179::a89:c"
    assert flows(work.probe(solicit(netvm), UP)[UP])[0][:3] == ("icmp", BELOW_VPN6, 136)
    for strange in (solicit("2001:db8::1"), solicit("fd09:24ef:4179::a89:63"), solicit(netvm, 254)):
        assert work.probe(strange, UP) == {}


def test_loopback_works(anon: InChain) -> None:
    with anon.socket("tcp", bind=("127.0.0.1", 8080), listen=True), anon.socket("tcp") as client:
        client.connect(("127.0.0.1", 8080))
    with anon.socket("udp", bind=(OWN, 99)) as there, anon.socket("udp") as here:
        here.sendto(b"own address", (OWN, 99))
        assert there.recv(99) == b"own address"

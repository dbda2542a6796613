"""vpn-proxy.nft with real packets: into the tunnel or nowhere."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

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
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest

from netchain.model.chain import Chain, Qube, Role
from netchain.model.label import Label
from netchain.model.names import QubeName
from netchain.nft.fill import Facts

pytestmark = pytest.mark.lab

MARK = Facts(tor_uid=0).vpn_mark
ENDPOINT, PORT = "198.18.7.1", 51820
TUNNEL4, TUNNEL6, DNS4 = "10.64.0.2", "fd00:64::2", "10.64.0.1"


@pytest.fixture(scope="module")
def chain(shipped: Callable[[str], Chain]) -> Chain:
    """vpn-only with a second workstation and a Tor gateway beside the first."""
    only = shipped("vpn-only")
    vpn = QubeName("sys-proxyvm")
    more = (
        Qube(QubeName("work2"), Role.WORKSTATION, Label.BLUE, vpn),
        Qube(QubeName("sys-whonix"), Role.TOR_GATEWAY, Label.BLACK, vpn),
    )
    return replace(only, qubes=(*only.qubes, *more))


@pytest.fixture
def vpn(chain: Chain) -> Iterator[InChain]:
    with InChain(chain, "sys-proxyvm") as qube:
        yield qube


def own_socket(vpn: InChain, **options: Any) -> Any:
    """A UDP socket of the qube itself, with the VPN's mark unless told otherwise."""
    return vpn.socket("udp", **{"mark": MARK, **options})


def test_downstream_goes_into_the_tunnel_with_the_tunnels_address(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client()
    seen = vpn.probe(tcp(own4, WEB4, 443), vif)
    assert flows(seen.pop(TUNNEL)) == [("tcp", TUNNEL4, 40000, WEB4, 443)]
    assert seen == {}
    seen = vpn.probe(udp(own6, WEB6, 443), vif)
    assert flows(seen[TUNNEL]) == [("udp", TUNNEL6, 40000, WEB6, 443)]
    seen = vpn.probe(frame(ip(own4, WEB4) / ICMP(id=7)), vif)
    assert flows(seen[TUNNEL]) == [("icmp", TUNNEL4, 8, WEB4, 0)]
    seen = vpn.probe(frame(ip(own6, WEB6) / ICMPv6EchoRequest(id=7)), vif)
    assert flows(seen[TUNNEL]) == [("icmp", TUNNEL6, 128, WEB6, 0)]


def test_answers_and_errors_come_back_and_nothing_else(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client()
    out = vpn.probe(udp(own4, WEB4, 443), vif)[TUNNEL][0]
    assert flows(vpn.probe(udp(WEB4, TUNNEL4, 40000, 443), TUNNEL)[vif]) == [
        ("udp", WEB4, 443, own4, 40000)
    ]
    error = frame(ip("192.0.2.9", TUNNEL4) / ICMP(type=11) / layers(out))
    assert flows(vpn.probe(error, TUNNEL)[vif]) == [("icmp", "192.0.2.9", 11, own4, 0)]
    foreign = ip(TUNNEL4, WEB4) / UDP(sport=40000, dport=444)
    for unasked in (
        udp(WEB4, TUNNEL4, 40000, 444),
        udp(WEB4, own4, 40000, 443),
        udp(WEB6, own6, 40000, 443),
        tcp(WEB4, TUNNEL4, 22),
        tcp(WEB6, TUNNEL6, 22),
        frame(ip(WEB4, TUNNEL4) / ICMP()),
        frame(ip(WEB4, TUNNEL4) / ICMP(type=11) / foreign),
        udp("10.137.0.14", TUNNEL4, 40000, 443),
    ):
        assert vpn.probe(unasked, TUNNEL) == {}


@pytest.mark.parametrize("broken", ["routes", "link", "gone", "rules"])
def test_a_broken_tunnel_lets_nothing_out(vpn: InChain, broken: str) -> None:
    """Also of flows that were open when it broke."""
    vif, own4, own6 = vpn.client()
    probes = [
        *(tcp(own4, WEB4, 443, flags=flags) for flags in ("S", "A", "PA", "FA", "R")),
        *(make(own, web, port) for own, web in ((own4, WEB4), (own6, WEB6))
          for make in (tcp, udp) for port in (53, 443, PORT)),
        udp(own4, ENDPOINT, PORT),
        frame(ip(own4, WEB4) / ICMP(id=7)),
    ]  # fmt: skip
    for probe in probes:
        assert set(vpn.probe(probe, vif)) <= {TUNNEL}
    if broken == "link":
        vpn.cut(TUNNEL)
    elif broken == "gone":
        vpn.ip(f"link set {TUNNEL} name gone group 0")
    elif broken == "rules":
        vpn.nft(vpn.text)
    vpn.tunnel_breaks()
    for probe in probes:
        vpn.send(probe, vif)
    for answer in (udp(WEB4, own4, 40000, 443), tcp(WEB4, TUNNEL4, 40000, 443, flags="SA")):
        vpn.send(answer, UP)
    assert vpn.seen() == {}


def test_a_missing_masquerade_lets_no_client_address_into_the_tunnel(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client()
    vpn.run("nft", "flush", "chain", "inet", "netchain", "masquerading")
    for probe in (tcp(own4, WEB4, 443), udp(own6, WEB6, 443), udp(own4, WEB4, 53)):
        assert vpn.probe(probe, vif) == {}
    vpn.run("nft", "delete", "chain", "inet", "netchain", "masquerading")
    assert vpn.probe(udp(own4, WEB4, 5), vif) == {}
    vpn.nft(vpn.text)
    assert flows(vpn.probe(udp(own4, WEB4, 443), vif)[TUNNEL])[0][1] == TUNNEL4


def test_names_are_asked_of_the_providers_resolver(vpn: InChain) -> None:
    vif, own4, _ = vpn.client()
    for asked in ("10.139.1.1", "10.137.0.12", "9.9.9.9"):
        seen = vpn.probe(udp(own4, asked, 53, sport=41000), vif)
        assert [flow[3:] for flow in flows(seen[TUNNEL])] == [(DNS4, 53)]
        back = vpn.probe(udp(DNS4, TUNNEL4, flows(seen[TUNNEL])[0][2], 53), TUNNEL)
        assert flows(back[vif]) == [("udp", asked, 53, own4, 41000)]
    seen = vpn.probe(tcp(own4, "9.9.9.9", 53), vif)
    assert flows(seen[TUNNEL])[0][3] == DNS4


def test_a_tor_gateway_sends_only_tcp_and_is_given_no_resolver(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client(2)
    assert flows(vpn.probe(tcp(own4, WEB4, 53), vif)[TUNNEL])[0][3] == WEB4
    assert flows(vpn.probe(tcp(own6, WEB6, 9001), vif)[TUNNEL])[0][1] == TUNNEL6
    for other in (udp(own4, WEB4, 53), udp(own6, WEB6, 123), frame(ip(own4, WEB4) / ICMP())):
        assert vpn.probe(other, vif) == {}


def test_clients_do_not_reach_each_other_or_the_qube(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client()
    vpn.socket("udp", bind=("0.0.0.0", 5353))
    _, other4, other6 = vpn.client(1)
    for aimed in (
        udp(own4, other4, 443), tcp(own6, other6, 443), udp(own4, "10.137.0.12", 5353),
        tcp(own4, "10.137.0.12", 22), frame(ip(own4, "10.137.0.12") / ICMP()),
        udp(own4, "10.137.0.11", 443), udp(own4, TUNNEL4, 5353),
    ):  # fmt: skip
        assert set(vpn.probe(aimed, vif)) <= {TUNNEL}
    assert vpn.met("this qube serves nothing to downstream") == 4


def test_spoofed_sources_are_dropped_in_silence(vpn: InChain) -> None:
    vif, own4, _ = vpn.client()
    _, other4, other6 = vpn.client(1)
    spoofed = (
        other4, "10.137.0.12", "10.137.0.11", TUNNEL4, ENDPOINT, WEB4,
        "127.0.0.1", "0.0.0.0", "255.255.255.255",
        other6, WEB6, TUNNEL6, "fe80::1", "::1", "::", "::ffff:10.137.0.13",
    )  # fmt: skip
    for source in spoofed:
        there = WEB6 if ":" in source else WEB4
        assert vpn.probe(udp(source, there, 443), vif) == {}
        assert vpn.probe(tcp(source, there, 443), vif) == {}
    kernels_own = 2  # from ::1, dropped before any hook
    assert vpn.met("spoofed source") == 2 * len(spoofed) - kernels_own
    assert vpn.probe(udp(own4, WEB4, 443), "stray0") == {}


def test_only_the_marked_socket_sends_and_only_to_the_endpoint(vpn: InChain) -> None:
    marked, plain = own_socket(vpn), own_socket(vpn, mark=0)
    assert sends(marked, (ENDPOINT, PORT))
    assert flows(vpn.seen()[UP]) == [
        ("udp", "10.137.0.12", marked.getsockname()[1], ENDPOINT, PORT)
    ]
    assert not sends(plain, (ENDPOINT, PORT))
    for other in ((ENDPOINT, 53), ("198.18.7.2", PORT), (WEB4, 53), ("10.137.0.11", PORT)):
        vpn.ip(f"route replace {other[0]}/32 via 10.137.0.11 dev eth0 onlink")
        assert not sends(marked, other)
        assert not sends(plain, other)
    vpn.tunnel_breaks()
    assert not sends(plain, ("9.9.9.9", 53))
    for kind, there in (("tcp", ENDPOINT), ("tcp6", WEB6), ("tcp", WEB4)):
        connects(vpn.socket(kind, mark=MARK), (there, PORT))
    assert vpn.seen() == {}


def test_without_the_route_to_its_netvm_the_vpn_asks_nobody_for_its_endpoint(vpn: InChain) -> None:
    """A socket that names its interface (wireguard-go's does) gets a route for want of one: the
    kernel takes the endpoint for a neighbour. ARP would tell the link about it."""
    sticky = own_socket(vpn)
    sticky.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, UP.encode())
    assert sends(sticky, (ENDPOINT, PORT))
    assert flows(vpn.seen()[UP])
    vpn.ip(f"route del {ENDPOINT}/32")
    assert not sends(sticky, (ENDPOINT, PORT))
    assert vpn.seen() == {}
    assert vpn.met("the route to the netvm is gone: ARP would ask for the endpoint") == 1


def test_nothing_of_its_own_goes_into_the_tunnel_or_downstream(vpn: InChain) -> None:
    _, own4, own6 = vpn.client()
    for options in ({"mark": 0}, {"mark": MARK}, {"mark": 0, "bind": (TUNNEL4, 0)}):
        for there in ((DNS4, 53), (WEB4, 123), (own4, 443)):
            assert not sends(own_socket(vpn, **options), there)
    assert not sends(vpn.socket("udp6"), (own6, 443))
    assert not sends(vpn.socket("udp6"), (WEB6, 53))
    assert vpn.seen() == {}


def test_a_foreign_program_with_the_mark_is_refused(chain: Chain) -> None:
    for uid in (1, None):
        with InChain(chain, "sys-proxyvm", Facts(tor_uid=0, vpn_uid=uid)) as vpn:
            assert not sends(own_socket(vpn), (ENDPOINT, PORT))
            assert vpn.seen() == {}


def test_the_uplink_reaches_the_vpns_socket_with_answers_only(vpn: InChain) -> None:
    sock = own_socket(vpn, bind=("10.137.0.12", 1234))
    assert vpn.probe(udp(ENDPOINT, "10.137.0.12", 1234, PORT), UP) == {}
    assert vpn.met("nobody may open a flow from upstream") == 1
    assert sends(sock, (ENDPOINT, PORT))
    out = vpn.seen()[UP][0]
    assert vpn.probe(udp(ENDPOINT, "10.137.0.12", 1234, PORT, b"pong"), UP) == {}
    assert sock.recv(99) == b"pong"
    before = vpn.met("errors about the VPN's flow")
    vpn.probe(frame(ip("100.64.0.1", "10.137.0.12") / ICMP(type=11) / layers(out)), UP)
    assert vpn.met("errors about the VPN's flow") == before + 1
    for strange in (
        udp(ENDPOINT, "10.137.0.12", 1234, 53), udp(WEB4, "10.137.0.12", 1234, PORT),
        udp("10.137.0.13", "10.137.0.12", 1234, PORT), tcp(ENDPOINT, "10.137.0.12", 1234),
    ):  # fmt: skip
        assert vpn.probe(strange, UP) == {}
    vpn.seen()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(99)


def test_tunnel_and_client_addresses_cannot_be_probed_from_the_uplink(vpn: InChain) -> None:
    """CVE-2019-14899; and the flow inside the tunnel does not notice."""
    vif, own4, own6 = vpn.client()
    handshake = vpn.probe(tcp(own4, WEB4, 443, seq=100), vif)[TUNNEL]
    port = flows(handshake)[0][2]
    for flags in ("S", "SA", "R", "RA", "A"):
        for there in (TUNNEL4, own4):
            probe = tcp(WEB4, there, port, 443, flags=flags, seq=5, ack=101)
            assert vpn.probe(probe, UP) == {}
    assert vpn.probe(tcp(WEB6, own6, 443), UP) == {}
    assert vpn.probe(frame(ip(WEB4, TUNNEL4) / ICMP()), UP) == {}
    answer = tcp(WEB4, TUNNEL4, port, 443, flags="SA", seq=900, ack=101)
    assert flows(vpn.probe(answer, TUNNEL)[vif]) == [("tcp", WEB4, 443, own4, 40000)]


def test_segments_fit_the_tunnel_and_what_does_not_is_told(vpn: InChain) -> None:
    vif, own4, own6 = vpn.client()
    big = vpn.probe(tcp(own4, WEB4, 443, options=[("MSS", 1460)]), vif)[TUNNEL][0]
    assert dict(layers(big)[TCP].options)["MSS"] == 1380
    small = vpn.probe(tcp(own4, WEB4, 444, options=[("MSS", 1200)]), vif)[TUNNEL][0]
    assert dict(layers(small)[TCP].options)["MSS"] == 1200
    told = vpn.probe(frame(IP(src=own4, dst=WEB4, flags="DF") / UDP(dport=443) / bytes(1450)), vif)
    assert list(told) == [vif]
    assert flows(told[vif]) == [("icmp", "10.137.0.12", 3, own4, 4)]
    told = vpn.probe(udp(own6, WEB6, 443, payload=bytes(1440)), vif)
    assert list(told) == [vif]
    assert flows(told[vif]) == [("icmp", "fd09:24ef:4179::a89:c", 2, own6, 0)]


def test_what_may_not_enter_the_tunnel_gets_no_answer_however_big_it_is(vpn: InChain) -> None:
    """The kernel looks at the size before `forward`: an answer would tell a hostile gateway that
    its packet was looked at, and be on a wire where nothing of the kind may be."""
    vif, own4, own6 = vpn.client(2)
    big4, big6 = IP(src=own4, dst=WEB4, flags="DF"), ip(own6, WEB6)
    for packet in (big4 / UDP(dport=443) / bytes(1450), big6 / UDP(dport=443) / bytes(1440),
                   big4 / ICMP(type=13) / bytes(1440), big4 / ICMP() / bytes(1440)):  # fmt: skip
        assert vpn.probe(frame(packet), vif) == {}
    told = vpn.probe(frame(big4 / TCP(dport=443, flags="A") / bytes(1440)), vif)
    assert flows(told.pop(vif)) == [("icmp", "10.137.0.12", 3, own4, 4)] and told == {}
    vif, own4, _ = vpn.client()
    stamp = IP(src=own4, dst=WEB4, flags="DF") / ICMP(type=13) / bytes(1440)
    assert vpn.probe(frame(stamp), vif) == {}

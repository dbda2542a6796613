"""firewall.nft and net.nft with real packets: a VPN to its endpoint, tor to its relays, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from in_chain import STRAY, UP, WEB4, WEB6, InChain, flows, frame, ip, layers, sends, tcp, udp
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6

from netchain.model.chain import Chain, Endpoint, Qube, Role, Vpn
from netchain.model.label import Label
from netchain.model.names import QubeName
from netchain.nft.fill import Facts, rules_for

pytestmark = pytest.mark.lab

ENDPOINT, PORT, ENDPOINT6 = "198.18.7.1", 51820, "2001:db8:7::1"
WAN4, WAN6 = "100.64.0.2", "2001:db8:a::2"
VPN, TOR, VPN6 = "10.137.0.12", "10.137.0.14", "fd09:24ef:4179::a89:f"


@pytest.fixture(scope="module")
def chain(shipped: Callable[[str], Chain]) -> Chain:
    """vpn-only with a Tor gateway beside the VPN, and a VPN that is reached over IPv6 by TCP."""
    only = shipped("vpn-only")
    firewall = QubeName("sys-firewall")
    vpn = only["sys-proxyvm"].vpn
    assert vpn is not None and vpn.settings is not None
    endpoint = Endpoint(ip_address(ENDPOINT6), 443, "tcp")
    openvpn = Vpn("b", replace(vpn.settings, kind="openvpn", endpoint=endpoint))
    more = (
        Qube(QubeName("sys-whonix"), Role.TOR_GATEWAY, Label.BLACK, firewall),
        Qube(QubeName("sys-vpn6"), Role.VPN_PROXY, Label.ORANGE, firewall, openvpn),
    )
    return replace(only, qubes=(*only.qubes, *more))


@pytest.fixture(params=["sys-firewall", "sys-net"])
def gateway(request: pytest.FixtureRequest, chain: Chain) -> Iterator[InChain]:
    with InChain(chain, request.param) as qube:
        yield qube


def link_of(gateway: InChain, source: str) -> str:
    """The downstream interface behind which the source is."""
    behind_the_firewall = {VPN: "vif12.0", TOR: "vif14.0", VPN6: "vif15.0"}
    return "vif11.0" if gateway.me.role is Role.NET else behind_the_firewall[source]


def outside(gateway: InChain, source: str) -> str:
    """The source as it is seen on the uplink."""
    if gateway.me.role is not Role.NET:
        return source
    return WAN6 if ":" in source else WAN4


GOOD = [
    ("the VPN to its endpoint", VPN, udp(VPN, ENDPOINT, PORT)),
    ("a VPN over TCP and IPv6", VPN6, tcp(VPN6, ENDPOINT6, 443)),
    ("tor to a relay", TOR, tcp(TOR, WEB4, 9001)),
    ("tor to a relay on port 53", TOR, tcp(TOR, WEB4, 53)),
]
BAD = [
    *((VPN, udp(VPN, there, port)) for there, port in
      ((ENDPOINT, 53), (ENDPOINT, PORT + 1), ("198.18.7.2", PORT), (WEB4, 53), (WAN4, PORT))),
    (VPN, tcp(VPN, ENDPOINT, PORT)), (VPN, tcp(VPN, WEB4, 443)), (VPN6, tcp(VPN6, WEB6, 443)),
    (VPN6, udp(VPN6, ENDPOINT6, 443)), (VPN, frame(ip(VPN, ENDPOINT) / ICMP())),
    (VPN, frame(ip(VPN, ENDPOINT) / ICMP(type=3) / ip(ENDPOINT, VPN) / UDP(sport=PORT))),
    (TOR, udp(TOR, WEB4, 53)), (TOR, udp(TOR, ENDPOINT, PORT)),
    (TOR, frame(ip(TOR, WEB4) / ICMP())),
    (VPN6, frame(ip(VPN6, WEB6) / ICMPv6EchoRequest())),
]  # fmt: skip


@pytest.mark.parametrize(("why", "source", "probe"), GOOD, ids=[why for why, *_ in GOOD])
def test_what_it_is_for_passes_and_is_answered(
    gateway: InChain, why: str, source: str, probe: bytes
) -> None:
    assert why
    link, shown = link_of(gateway, source), outside(gateway, source)
    sent = layers(probe)
    seen = gateway.probe(probe, link)
    [out] = seen.pop(UP)
    kind, _, _, there, dport = flows([probe])[0]
    assert (flows([out])[0][:2], flows([out])[0][3:]) == ((kind, shown), (there, dport))
    assert seen == {}
    port = flows([out])[0][2]
    answer = (udp(there, shown, port, dport) if kind == "udp"
              else tcp(there, shown, port, dport, flags="SA", ack=sent.seq + 1))  # fmt: skip
    assert flows(gateway.probe(answer, UP)[link]) == [(kind, there, dport, source, 40000)]
    if ":" not in source:
        error = frame(ip("192.0.2.7", shown) / ICMP(type=11) / layers(out))
        assert flows(gateway.probe(error, UP)[link]) == [("icmp", "192.0.2.7", 11, source, 0)]


def test_everything_else_of_downstream_is_dropped_in_silence(gateway: InChain) -> None:
    for source, probe in BAD:
        assert gateway.probe(probe, link_of(gateway, source)) == {}, layers(probe).summary()
    for _, source, probe in GOOD:
        for link in {*gateway.links, STRAY} - {link_of(gateway, source)}:
            assert gateway.probe(probe, link) == {}


def test_spoofed_sources_are_dropped_in_silence(gateway: InChain) -> None:
    for source in (WEB4, ENDPOINT, WAN4, "10.137.0.10", "10.137.0.13", "10.137.0.99", "127.0.0.1"):
        assert gateway.probe(udp(source, ENDPOINT, PORT), link_of(gateway, VPN)) == {}
    for source in (WEB6, WAN6, "fe80::1", "fd09:24ef:4179::a89:d", "::"):
        assert gateway.probe(tcp(source, ENDPOINT6, 443), link_of(gateway, VPN6)) == {}


def test_upstream_opens_nothing(gateway: InChain) -> None:
    gateway.socket("tcp", bind=("0.0.0.0", 22), listen=True)
    own = str(gateway.uplink_ends[0][0])
    for there in (own, str(gateway.own4), VPN, TOR):
        for probe in (udp(ENDPOINT, there, 40000, PORT), tcp(WEB4, there, 22), tcp(TOR, there, 22),
                      frame(ip(WEB4, there) / ICMP()), tcp(WEB4, there, 40000, 443, flags="SA"),
                      udp(VPN, there, 40000, PORT)):  # fmt: skip
            assert gateway.probe(probe, UP) == {}
    foreign = ip(outside(gateway, TOR), WEB4) / UDP(sport=1, dport=2)
    error = frame(ip(WEB4, outside(gateway, TOR)) / ICMP(type=11) / foreign)
    assert gateway.probe(error, UP) == {}
    for there in (WAN6, VPN6, str(gateway.own6)):
        assert gateway.probe(tcp(WEB6, there, 22), UP) == {}


def test_qubes_do_not_reach_each_other_or_the_gateway(gateway: InChain) -> None:
    gateway.socket("udp", bind=("0.0.0.0", 53))
    gateway.socket("tcp", bind=("0.0.0.0", 22), listen=True)
    vpn, tor = link_of(gateway, VPN), link_of(gateway, TOR)
    for there in (str(gateway.own4), WAN4 if gateway.me.role is Role.NET else "10.137.0.10"):
        assert gateway.probe(udp(VPN, there, 53), vpn) == {}
        assert gateway.probe(frame(ip(TOR, there) / ICMP()), tor) == {}
    assert gateway.probe(tcp(TOR, VPN, 22), tor).keys() <= {UP}
    assert gateway.probe(udp(VPN, TOR, 22), vpn) == {}


def test_it_sends_nothing_of_its_own(gateway: InChain) -> None:
    for there in ((WEB4, 53), (ENDPOINT, PORT), (VPN, 53), (WEB4, 123)):
        assert not sends(gateway.socket("udp", mark=28259), there)
    assert not sends(gateway.socket("udp6"), (WEB6, 53))
    assert gateway.seen() == {}


def test_open_flows_end_when_the_rules_change(gateway: InChain, chain: Chain) -> None:
    """A new endpoint: what was allowed is not, whatever conntrack remembers."""
    link = link_of(gateway, VPN)
    assert UP in gateway.probe(udp(VPN, ENDPOINT, PORT), link)
    [answer] = [udp(ENDPOINT, outside(gateway, VPN), 40000, PORT)]
    assert link in gateway.probe(answer, UP)
    vpn = chain["sys-proxyvm"].vpn
    assert vpn is not None and vpn.settings is not None
    settings = replace(vpn.settings, endpoint=Endpoint(ip_address("198.18.7.9"), PORT))
    moved = chain.resolved({QubeName("sys-proxyvm"): settings}, chain.wan)
    gateway.nft(rules_for(moved, gateway.me, Facts(tor_uid=0)))
    assert gateway.probe(udp(VPN, ENDPOINT, PORT), link) == {}
    assert UP in gateway.probe(udp(VPN, "198.18.7.9", PORT), link)


def test_what_is_too_big_is_told_to_the_sender(gateway: InChain) -> None:
    gateway.ip(f"link set {UP} mtu 1400")
    link = link_of(gateway, VPN)
    big = frame(IP(src=VPN, dst=ENDPOINT, flags="DF") / UDP(sport=1, dport=PORT) / bytes(1450))
    seen = gateway.probe(big, link)
    assert flows(seen.pop(link)) == [("icmp", str(gateway.own4), 3, VPN, 4)]
    assert seen == {}


def test_neighbours_of_each_link_are_answered_and_nobody_else(gateway: InChain) -> None:
    for link, near, far in [(UP, *map(str, gateway.uplink_ends[1])),
                            *((vif, str(gateway.own6), gateway.client(i)[2])
                              for i, vif in enumerate(gateway.links))]:  # fmt: skip

        def solicit(source: str, target: str = near) -> bytes:
            header = IPv6(src=source, dst=target, hlim=255)
            lladdr = "02:00:00:00:00:02"
            return frame(header / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=lladdr))

        assert flows(gateway.probe(solicit(far), link)[link])[0][:3] == ("icmp", near, 136)
        for strange in ("2001:db8::1", "fd09:24ef:4179::a89:63", "fd09:24ef:4179::a89:d"):
            assert gateway.probe(solicit(strange), link) == {}


@pytest.mark.parametrize("how", ["flush chain", "delete chain"])
def test_a_missing_masquerade_lets_no_qubes_address_out(chain: Chain, how: str) -> None:
    with InChain(chain, "sys-net") as net:
        net.run("nft", *how.split(), "inet", "netchain", "masquerading")
        for _, _, probe in GOOD:
            assert net.probe(probe, "vif11.0") == {}
        assert net.met("a qube's own address on its way out, or no known interface") == len(GOOD)
        net.nft(net.text)
        for _, source, probe in GOOD:
            assert flows(net.probe(probe, "vif11.0")[UP])[0][1] == outside(net, source)


def test_an_uplink_without_its_address_sends_nothing(chain: Chain) -> None:
    """Before the uplink is known, and while its address is another one than was told."""
    with InChain(chain, "sys-net") as net:
        net.nft(rules_for(chain.resolved({}, None), net.me, Facts(tor_uid=0)))
        assert net.probe(GOOD[0][2], "vif11.0") == {}
        net.nft(net.text)
        net.ip(f"addr add 100.64.0.77/32 dev {UP}", f"addr delete {WAN4}/32 dev {UP}")
        assert net.probe(GOOD[2][2], "vif11.0") == {}


def test_what_may_not_pass_gets_no_answer_however_big_it_is(gateway: InChain) -> None:
    """On an uplink that carries less than the chain: the kernel looks at the size before
    `forward`."""
    gateway.ip(f"link set {UP} mtu 1400")
    big4 = IP(src=VPN, dst=ENDPOINT, flags="DF")
    for packet in (big4 / UDP(dport=53) / bytes(1400), big4 / ICMP() / bytes(1400),
                   ip(VPN6, WEB6) / UDP(dport=443) / bytes(1400)):  # fmt: skip
        source = VPN if packet.src == VPN else VPN6
        assert gateway.probe(frame(packet), link_of(gateway, source)) == {}
    vif = link_of(gateway, VPN)
    told = gateway.probe(frame(big4 / UDP(dport=PORT) / bytes(1400)), vif)
    assert [flow[2::2] for flow in flows(told.pop(vif))] == [(3, 4)] and told == {}

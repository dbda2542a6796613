"""Which rule decides about which packet: "chain: comment" as the rule files have them."""

from __future__ import annotations

from collections.abc import Iterator

from in_chain import STRAY, TUNNEL, UP, WEB4, WEB6, frame, ip, tcp, udp
from scapy.layers.inet import ICMP, TCP, UDP, IPOption_LSRR, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6TimeExceeded,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)

NET, FIREWALL, VPN, TOR, ANON = (f"10.137.0.{n}" for n in range(10, 15))
NET6, FIREWALL6, VPN6, TOR6, ANON6 = (f"fd09:24ef:4179::a89:{n:x}" for n in range(10, 15))
NOBODY, NOBODY6 = "10.137.0.99", "fd09:24ef:4179::a89:63"
WAN4, WAN6, ROUTER6 = "100.64.0.2", "2001:db8:a::2", "2001:db8:a::1"
ENDPOINT, PORT = "198.18.7.1", 51820
TUNNEL4, TUNNEL6 = "10.64.0.2", "fd00:64::2"

Decision = tuple[str, str, bytes]
"""The rule ("chain: comment", with "+" before it when it lets pass), the link, the frame."""

ODD = "plain: fragments, source routes and other options, unused protocols"
UPSTREAM = "from_uplink: address of a qube that is not upstream"
SPOOFED = "from_downstream: spoofed source"
NDP = "neighbour discovery of this link"
PAIR = "forward: every other pair, above all downstream to uplink"
NO_SERVICE = "input: this qube serves nothing and asks nothing"
NEITHER = "neither a VPN to its endpoint nor tor"
SERVES_NOTHING = "input_downstream: this qube serves nothing to downstream"


def solicit(source: str, target: str, hops: int = 255) -> bytes:
    return frame(ip(source, target, hlim=hops) / ICMPv6ND_NS(tgt=target))


def about_nothing(source: str, there: str) -> bytes:
    """An ICMP error that quotes a packet that was never sent: conntrack calls it invalid."""
    return frame(ip(source, there) / ICMP(type=3, code=1) / ip(there, source) / UDP(dport=7777))


def odd(link: str, source: str, there: str, source6: str, there6: str) -> Iterator[Decision]:
    """Packets that are not plain: the same to every role."""
    for header in (
        ip(source, there, flags="MF"), ip(source, there, frag=8),
        ip(source, there, options=[IPOption_LSRR(routers=[WEB4])]),
        ip(source, there, options=[IPOption_RR(routers=["0.0.0.0"])]),
        *(ip(source6, there6) / extension for extension in (
            IPv6ExtHdrFragment(m=1), IPv6ExtHdrFragment(), IPv6ExtHdrHopByHop(),
            IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(addresses=[there6]))),
    ):  # fmt: skip
        for transport in (UDP(dport=PORT), TCP(dport=443), ICMP()):
            yield ODD, link, frame(header / transport)
    for protocol in (4, 41, 47, 50, 132, 136):
        yield ODD, link, frame(ip(source, there, proto=protocol) / bytes(40))
        yield ODD, link, frame(ip(source6, there6, nh=protocol) / bytes(40))


def spoofed(vif: str, *sources: tuple[str, str]) -> Iterator[Decision]:
    """Of addresses, IPv4 and IPv6, that are not those of the qube behind it."""
    for source, source6 in sources:
        yield SPOOFED, vif, tcp(source, WEB4, 443)
        yield SPOOFED, vif, tcp(source6, WEB6, 443)


def workstation() -> Iterator[Decision]:
    unasked = "input: nobody may open a flow to a workstation"
    not_ours = "antispoof: not for this qube; dropped before conntrack sees it"
    not_upstream = "antispoof: address of a qube that is not upstream"
    yield from odd(UP, TOR, ANON, TOR6, ANON6)
    for source, there in ((TOR, ANON), (TOR6, ANON6)):
        yield (
            "antispoof: a workstation has no interface but its uplink",
            STRAY,
            tcp(source, there, 1),
        )
        yield unasked, UP, tcp(source, there, 22)
    yield not_upstream, UP, tcp(NOBODY, ANON, 22)
    yield not_upstream, UP, tcp(NOBODY6, ANON6, 22)
    yield not_ours, UP, tcp(TOR, NOBODY, 22)
    yield not_ours, UP, tcp(TOR6, NOBODY6, 22)
    yield "input: part of no flow", UP, about_nothing(TOR, ANON)
    yield f"+antispoof: {NDP}", UP, solicit(TOR6, ANON6)
    yield f"+input: {NDP}", UP, solicit(TOR6, ANON6)
    for strange in (solicit(TOR6, ANON6, 254), solicit(WEB6, ANON6), solicit(VPN6, ANON6),
                    frame(ip(TOR6, ANON6, hlim=255) / ICMPv6ND_RA()),
                    frame(ip(TOR6, ANON6) / ICMPv6EchoRequest()),
                    frame(ip(TOR, ANON) / ICMP())):  # fmt: skip
        yield unasked, UP, strange


def tor_gateway() -> Iterator[Decision]:
    vif = "vif14.0"
    forwarded = "forward: nothing passes a Tor gateway but through tor"
    not_ours = "from_uplink: not for this qube; dropped before conntrack sees it"
    yield from odd(vif, ANON, TOR, ANON6, TOR6)
    yield "antispoof: no other interface", STRAY, tcp(ANON, WEB4, 443)
    yield UPSTREAM, UP, tcp(NOBODY, TOR, 9050)
    yield UPSTREAM, UP, tcp(ANON, TOR, 9050)
    yield UPSTREAM, UP, tcp(ANON6, TOR6, 9050)
    yield not_ours, UP, tcp(WEB4, ANON, 9050)
    yield not_ours, UP, tcp(WEB6, ANON6, 9050)
    yield from spoofed(vif, (WEB4, WEB6), (TOR, TOR6), (VPN, VPN6), (NOBODY, NOBODY6))
    for there, there6 in ((WEB4, WEB6), (VPN, VPN6)):
        yield forwarded, vif, udp(ANON, there, 443)
        yield forwarded, vif, udp(ANON, there, 53)
        yield forwarded, vif, tcp(ANON, there, 443, flags="A")
        yield forwarded, vif, tcp(ANON6, there6, 443)


def to_the_gateway() -> Iterator[Decision]:
    vif = "vif14.0"
    upstream = "input_uplink: nobody may open a flow from upstream"
    ports = "input_downstream: tor's ports only"
    yield "input: part of no flow", vif, about_nothing(ANON, TOR)
    yield "input: part of no flow", UP, about_nothing(VPN, TOR)
    yield f"+input_uplink: {NDP}", UP, solicit(VPN6, TOR6)
    yield f"+input_downstream: {NDP}", vif, solicit(ANON6, TOR6)
    yield f"+from_uplink: {NDP}", UP, solicit(VPN6, TOR6)
    for strange in (solicit(VPN6, TOR6, 254), solicit(WEB6, TOR6), solicit(NET6, TOR6),
                    frame(ip(VPN6, TOR6, hlim=255) / ICMPv6ND_RA()), tcp(WEB4, TOR, 9050),
                    udp(WEB4, TOR, 5300), frame(ip(VPN, TOR) / ICMP()),
                    tcp(VPN, TOR, 9040)):  # fmt: skip
        yield upstream, UP, strange
    for refused in (udp(ANON, TOR, 5300), udp(ANON, TOR, 9050), tcp(ANON, TOR, 9050, flags="A"),
                    tcp(ANON, TOR, 9040, flags="A"), tcp(ANON, TOR, 22, flags="A"),
                    frame(ip(ANON, TOR) / ICMP()), tcp(ANON6, TOR6, 9050), udp(ANON6, TOR6, 53),
                    solicit(ANON6, TOR6, 254), frame(ip(ANON6, TOR6) / ICMPv6EchoRequest()),
                    frame(ip(ANON6, TOR6, hlim=255) / ICMPv6ND_RA())):  # fmt: skip
        yield ports, vif, refused
    yield "+into_tor: names: tor's DNSPort", vif, udp(ANON, TOR, 53)
    yield "+into_tor: SocksPorts, asked for by address", vif, tcp(ANON, TOR, 9050)
    yield "+input_downstream: SocksPorts", vif, tcp(ANON, TOR, 9050)
    yield "+into_tor: all other TCP: tor's TransPort", vif, tcp(ANON, WEB4, 9050)
    yield "+into_tor: all other TCP: tor's TransPort", vif, tcp(ANON, TOR, 9040)


def vpn_proxy() -> Iterator[Decision]:
    vif = "vif13.0"
    strange = "from_uplink: not the endpoint to this qube: this is how tunnels are probed"
    upstream = "input_uplink: nobody may open a flow from upstream"
    yield from odd(vif, TOR, WEB4, TOR6, WEB6)
    yield "antispoof: no other interface", STRAY, tcp(TOR, WEB4, 443)
    yield UPSTREAM, UP, udp(NOBODY, VPN, 40000, PORT)
    yield UPSTREAM, UP, tcp(TOR6, VPN6, 443)
    for packet in (udp(ENDPOINT, TUNNEL4, 1, PORT), udp(ENDPOINT, TOR, 1, PORT), tcp(WEB6, VPN6, 1),
                   udp(ENDPOINT, VPN, 1, 53), tcp(ENDPOINT, VPN, 1, PORT), udp(WEB4, VPN, 1, PORT),
                   frame(ip(WEB4, VPN) / ICMP()), about_nothing(WEB4, TUNNEL4),
                   frame(ip(WEB6, TUNNEL6) / ICMPv6TimeExceeded() / ip(TUNNEL6, WEB6)),
                   tcp(WEB6, TUNNEL6, 1),
                   solicit(FIREWALL6, VPN6, 254), solicit(WEB6, VPN6), solicit(NET6, VPN6),
                   frame(ip(FIREWALL6, VPN6, hlim=255) / ICMPv6ND_RA())):  # fmt: skip
        yield strange, UP, packet
    for error in (about_nothing(WEB4, VPN), frame(ip(WEB6, VPN6) / ICMPv6TimeExceeded()
                  / ip(VPN6, WEB6) / UDP())):  # fmt: skip
        yield "+from_uplink: errors; input asks what they are about", UP, error
        yield "input: part of no flow", UP, error
    yield from spoofed(vif, (WEB4, WEB6), (VPN, VPN6), (FIREWALL, FIREWALL6), (TUNNEL4, TUNNEL6))
    for qube, tunnel in ((NOBODY, TUNNEL4), (NOBODY6, TUNNEL6)):
        yield "from_tunnel: no qube is behind the tunnel", TUNNEL, tcp(qube, tunnel, 443)
    for source, there in ((WEB4, TOR), (WEB6, TOR6), (WEB4, VPN), (WEB6, VPN6)):
        yield "from_tunnel: not for the tunnel's address", TUNNEL, tcp(source, there, 443)
    for source, there in ((WEB4, TUNNEL4), (WEB6, TUNNEL6)):
        yield "input: nothing from the tunnel, no other interface", TUNNEL, tcp(source, there, 443)
    yield upstream, UP, udp(ENDPOINT, VPN, 1, PORT)
    yield f"+input_uplink: {NDP}", UP, solicit(FIREWALL6, VPN6)
    yield f"+from_uplink: {NDP}", UP, frame(ip(FIREWALL6, VPN6, hlim=255) / ICMPv6ND_NA(tgt=VPN6))
    yield f"+input_downstream: {NDP}", vif, solicit(TOR6, VPN6)


def into_the_tunnel() -> Iterator[Decision]:
    vif = "vif13.0"
    yield f"+may_enter: {NDP}", vif, solicit(TOR6, VPN6)
    for packet in (solicit(TOR6, VPN6, 254), frame(ip(TOR6, VPN6, hlim=255) / ICMPv6ND_RA()),
                   about_nothing(TOR, WEB4), frame(ip(TOR, WEB4) / ICMP(type=13))):  # fmt: skip
        yield "may_enter: of ICMP only pings go up", vif, packet
    for packet in (udp(TOR, VPN, 53), udp(TOR, ENDPOINT, PORT), frame(ip(TOR, VPN) / ICMP()),
                   frame(ip(TOR6, VPN6) / ICMPv6EchoRequest()), udp(TOR6, WEB6, 443)):  # fmt: skip
        yield "may_enter: not what this client may send", vif, packet
    yield "+may_enter: what this client may send", vif, tcp(TOR6, WEB6, 443)
    yield SERVES_NOTHING, vif, tcp(TOR, VPN, 22)
    yield PAIR, vif, tcp(TOR, FIREWALL, 22)
    yield PAIR, vif, tcp(TOR6, FIREWALL6, 22)
    yield "forward: part of no flow", vif, tcp(TOR, WEB4, 443, flags="SF")
    yield "+into_tunnel: what this client may send", vif, tcp(TOR6, WEB6, 443)


def past_may_enter() -> Iterator[Decision]:
    """What the rules behind it decide when it lets everything in."""
    vif = "vif13.0"
    for packet in (solicit(TOR6, VPN6, 254), frame(ip(TOR6, VPN6, hlim=255) / ICMPv6ND_RA()),
                   udp(TOR, VPN, 53), frame(ip(TOR, VPN) / ICMP()),
                   frame(ip(TOR6, VPN6) / ICMPv6EchoRequest())):  # fmt: skip
        yield SERVES_NOTHING, vif, packet
    yield PAIR, vif, udp(TOR, ENDPOINT, PORT)
    yield "forward: part of no flow", vif, about_nothing(TOR, WEB4)
    for packet in (frame(ip(TOR, WEB4) / ICMP()), udp(TOR, WEB4, 53), udp(TOR6, WEB6, 443)):
        yield "into_tunnel: not what this client may send", vif, packet
    yield "into_tunnel: of ICMP only pings go up", vif, frame(ip(TOR, WEB4) / ICMP(type=13))


def passing(name: str) -> Iterator[Decision]:
    """firewall and net, which hold the same list."""
    net = name == "sys-net"
    vif = "vif11.0" if net else "vif12.0"
    outer, outer6, router6 = (WAN4, WAN6, ROUTER6) if net else (FIREWALL, FIREWALL6, NET6)
    yield from odd(vif, VPN, ENDPOINT, VPN6, WEB6)
    yield "antispoof: no other interface", STRAY, udp(VPN, ENDPOINT, PORT)
    away = "from_uplink: no qube is out there" if net else UPSTREAM
    yield away, UP, udp(VPN, outer, 1, PORT)
    yield away, UP, tcp(VPN6, outer6, 1)
    if net:
        for source, there in ((WEB4, VPN), (WEB6, VPN6), (WEB4, NET), (WEB6, NET6)):
            rule = "from_uplink: not for the uplink's address; dropped before conntrack sees it"
            yield rule, UP, tcp(source, there, 443)
    yield from spoofed(vif, (WEB4, WEB6), (TOR, TOR6), (NET, NET6), (NOBODY, NOBODY6))
    yield f"+input: {NDP}", UP, solicit(router6, outer6)
    for strange in (
        solicit(router6, outer6, 254), frame(ip(router6, outer6, hlim=255) / ICMPv6ND_RA()),
        tcp(router6, outer6, 22), frame(ip(router6, outer6) / ICMPv6EchoRequest()),
        solicit(WEB6, outer6), tcp(WEB4, outer, 22),
    ):  # fmt: skip
        yield NO_SERVICE, UP, strange
    if net:
        rule = "+from_uplink: neighbour discovery with the router"
        yield rule, UP, solicit(router6, outer6)
    else:
        yield "to_downstream: nobody may open a flow from upstream", UP, tcp(WEB4, VPN, 22)
        yield "to_downstream: nobody may open a flow from upstream", UP, tcp(WEB6, VPN6, 22)


def passed_on(name: str) -> Iterator[Decision]:
    net = name == "sys-net"
    vif, near6, client6 = ("vif11.0", NET6, FIREWALL6) if net else ("vif12.0", FIREWALL6, VPN6)
    yield f"+may_pass: {NDP}", vif, solicit(client6, near6)
    yield f"+input: {NDP}", vif, solicit(client6, near6)
    for packet in (*to_itself(name), *to_others()):
        yield f"may_pass: {NEITHER}", vif, packet
    for rules in ("may_pass", "to_uplink"):
        yield f"+{rules}: a VPN to its endpoint", vif, udp(VPN, ENDPOINT, PORT)


def past_may_pass(name: str) -> Iterator[Decision]:
    """What the rules behind it decide when it lets everything by."""
    vif = "vif11.0" if name == "sys-net" else "vif12.0"
    for packet in to_itself(name):
        yield NO_SERVICE, vif, packet
    yield "forward: part of no flow", vif, about_nothing(VPN, ENDPOINT)
    yield "forward: every other pair, also from qube to qube", vif, udp(VPN, VPN, PORT)
    for packet in to_others():
        yield f"to_uplink: {NEITHER}", vif, packet


def to_itself(name: str) -> Iterator[bytes]:
    """From the qube behind a firewall or net, past what it serves."""
    net = name == "sys-net"
    near, near6, client6 = (NET, NET6, FIREWALL6) if net else (FIREWALL, FIREWALL6, VPN6)
    yield solicit(client6, near6, 254)
    yield frame(ip(client6, near6, hlim=255) / ICMPv6ND_RA())
    yield tcp(client6, near6, 22)
    yield frame(ip(client6, near6) / ICMPv6EchoRequest())
    yield tcp(VPN, near, 22)


def to_others() -> Iterator[bytes]:
    yield from (udp(VPN, ENDPOINT, 53), tcp(VPN, WEB4, 443), tcp(VPN6, WEB6, 443))
    yield frame(ip(VPN, ENDPOINT) / ICMP())

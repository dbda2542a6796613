"""N. A hostile uplink: advertisements, redirects, poisoned neighbours, a forged path MTU.

No qube of a chain listens to any of it (faults_routes.py has what would follow if one did), so it
must change nothing: neither routes, addresses nor neighbours of any qube.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from leaktests.catalogue import faults_vpn
from leaktests.engine.fault import Bench, Faults
from leaktests.engine.target import vpn_settings
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL
from netchain.model.allowed import Link
from netchain.model.chain import Role, Wan
from netchain.wire.capture import Captured
from netchain.wire.decode import decode

topic = Faults()
_VPN = frozenset({Role.VPN_PROXY})
_ATTACKER_MAC, _ATTACKER6 = "02:00:00:00:66:66", "fe80::6666"
_ATTACKER4 = "203.0.113.66"


def _wan(bench: Bench) -> Wan:
    assert bench.chain.wan is not None
    return bench.chain.wan


def _isp(bench: Bench) -> Link:
    return bench.uplink(bench.qube(Role.NET))


def _network(bench: Bench) -> dict[str, str]:
    """Addresses, routes and neighbours of every qube, and its way to the VPN's server."""
    script = "ip -br addr; ip -4 route; ip -6 route; ip neigh show nud permanent"
    settings = vpn_settings(bench.chain)
    script += f"; ip route get {settings.endpoint.address}" if settings else ""
    return {q.name: bench.run(q, "sh", "-c", f"{script}; true") for q in bench.chain.qubes}


def _sent(bench: Bench, packets: Sequence[Packet], link: Link | None = None) -> Iterator[None]:
    """Send the packets down the uplink (or another link); nothing may come of it in any qube."""
    before = _network(bench)
    frames = [bytes(packet) for packet in packets]
    for _ in range(3):
        bench.send(link or _isp(bench), *frames)
    yield
    after = _network(bench)
    changed = [name for name in before if before[name] != after[name]]
    bench.require(not changed, f"it was believed by {', '.join(changed)}")


def _quote(bench: Bench) -> Packet:
    """A packet of the VPN's flow, as the internet saw it."""
    flow = faults_vpn.outer_flow(bench)
    ends = {"src": str(_wan(bench).address4), "dst": str(flow.server.address)}
    return IP(**ends) / UDP(sport=flow.port, dport=flow.server.port) / bytes(32)


def _ether(**fields: str) -> Packet:
    return Ether(**{"src": NETVM_MAC, "dst": CLIENT_MAC, **fields})


@topic.fault("N06", "the uplink advertises itself as an IPv6 router, with routes, DNS and a prefix")
def rogue_router(bench: Bench) -> Iterator[None]:
    """Also with a lifetime of 0, which would take the router away."""
    group = {"dst": "33:33:00:00:00:01"}
    options = (
        ICMPv6NDOptSrcLLAddr(lladdr=NETVM_MAC) / ICMPv6NDOptMTU(mtu=1280)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
        / ICMPv6NDOptRouteInfo(prefix="2001:db8:dead::", plen=48, prf=1, rtlifetime=600)
        / ICMPv6NDOptRouteInfo(prefix="::", plen=1, prf=1, rtlifetime=600)
        / ICMPv6NDOptRDNSS(dns=["2001:db8:bad::53"], lifetime=600)
    )  # fmt: skip
    packets = [
        _ether(**group) / IPv6(src=source, dst="ff02::1", hlim=255)
        / ICMPv6ND_RA(M=1, O=1, prf=1, routerlifetime=lifetime) / options.copy()
        for source in ("fe80::1", str(_wan(bench).gateway6)) for lifetime in (1800, 0)
    ]  # fmt: skip
    yield from _sent(bench, packets)


@topic.fault("V13", "the link of the VPN's qube advertises an IPv6 router after all was up",
             needs=_VPN)  # fmt: skip
def router_inside(bench: Bench) -> Iterator[None]:
    vpn = bench.qube(Role.VPN_PROXY)
    packet = (
        _ether(dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
        / ICMPv6ND_RA(prf=1, routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=NETVM_MAC)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64)
    )  # fmt: skip
    yield from _sent(bench, [packet], bench.uplink(vpn))


@topic.fault("N07", "ICMP redirects for the VPN's flow", needs=_VPN)
def redirects(bench: Bench) -> Iterator[None]:
    """With the ports that the flow really has, from the router, to the attacker and to itself."""
    packets = [
        _ether() / IP(src=str(_wan(bench).gateway4), dst=str(_wan(bench).address4))
        / ICMP(type=5, code=code, gw=gateway) / _quote(bench)
        for code in (0, 1) for gateway in (_ATTACKER4, str(_wan(bench).address4))
    ]  # fmt: skip
    yield from _sent(bench, packets)


@topic.fault("N08", "ICMPv6 redirects, from the router and from its link-local address")
def redirects6(bench: Bench) -> Iterator[None]:
    packets = [
        _ether() / IPv6(src=source, dst=str(_wan(bench).address6), hlim=255)
        / ICMPv6ND_Redirect(tgt=_ATTACKER6, dst="2001:db8:7::1")
        / ICMPv6NDOptDstLLAddr(lladdr=_ATTACKER_MAC)
        for source in ("fe80::1", str(_wan(bench).gateway6))
    ]  # fmt: skip
    yield from _sent(bench, packets)


@topic.fault("N09", "poisoned neighbours: the router and the qube itself are somewhere else now")
def poisoned(bench: Bench) -> Iterator[None]:
    wan = _wan(bench)
    packets: list[Packet] = [
        _ether(src=_ATTACKER_MAC, dst=to) / ARP(op=op, hwsrc=_ATTACKER_MAC, psrc=str(said),
                                                hwdst=CLIENT_MAC, pdst=str(asked))
        for said, asked in ((wan.gateway4, wan.address4), (wan.gateway4, wan.gateway4))
        for op in (1, 2) for to in (CLIENT_MAC, "ff:ff:ff:ff:ff:ff")
    ]  # fmt: skip
    packets += [
        _ether(src=_ATTACKER_MAC) / IPv6(src=str(said), dst=str(wan.address6), hlim=255)
        / ICMPv6ND_NA(tgt=str(said), R=1, S=solicited, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=_ATTACKER_MAC)
        for said in (wan.gateway6, wan.address6) for solicited in (0, 1)
    ]  # fmt: skip
    yield from _sent(bench, packets)


@topic.fault("N10", "a forged path MTU for the VPN's flow, then packets that are too big for it",
             needs=_VPN)  # fmt: skip
def path_mtu(bench: Bench) -> Iterator[None]:
    """As small as a kernel believes (552), and smaller, from the router and from the server itself.
    It arrives, and is not believed: nothing may go out in fragments."""
    vpn, flow = bench.qube(Role.VPN_PROXY), faults_vpn.outer_flow(bench)
    before, mark = _network(bench), bench.site.sensor.tap.mark()
    packets = [
        _ether() / IP(src=str(source), dst=str(_wan(bench).address4))
        / ICMP(type=3, code=4, nexthopmtu=mtu) / _quote(bench)
        for source in (_wan(bench).gateway4, flow.server.address) for mtu in (576, 552, 68)
    ]  # fmt: skip
    bench.send(_isp(bench), *(bytes(packet) for packet in packets))
    server, link = flow.server.address.packed, bench.uplink(vpn).name

    def arrived(seen: Captured) -> bool:
        said = decode(seen.frame)
        return said.icmp_type == 3 and said.icmp_code == 4 and said.source == server

    missing = bench.site.sensor.tap.wait_for(arrived, [link], 10, mark)
    bench.require(not missing, "it did not get as far as the VPN's qube")
    for _ in range(20):
        faults_vpn.use(bench, size=1300)
    yield
    bench.require(_network(bench) == before, "it was believed")


@topic.fault("N12", "packets to the VPN's port, from its server and from strangers", needs=_VPN)
def to_the_port(bench: Bench) -> Iterator[None]:
    """Who sends from elsewhere would have the VPN roam there, if it were the server."""
    flow = faults_vpn.outer_flow(bench)
    sources = [(str(flow.server.address), flow.server.port), (_ATTACKER4, 51820), (_ATTACKER4, 443)]
    packets = [
        _ether() / IP(src=source, dst=str(_wan(bench).address4)) / UDP(sport=sport, dport=flow.port)
        / (bytes((kind, 0, 0, 0)) + bytes(88))
        for source, sport in sources for kind in (1, 2, 3, 4)
    ]  # fmt: skip
    shown = ("wg", "show", TUNNEL, "endpoints")
    before = bench.run(bench.qube(Role.VPN_PROXY), *shown)
    yield from _sent(bench, packets)
    bench.require(bench.run(bench.qube(Role.VPN_PROXY), *shown) == before, "the VPN has roamed")

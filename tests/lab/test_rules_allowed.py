"""The rules implement `allowed()`: whatever a qube lets out of a link, that function allows there.

Random packets, biased towards addresses, ports and protocols that mean something in the chain, are
sent into every link of every qube of the shipped profiles, and each frame that comes out is judged
by `allowed()` for its link. The oracle knows nothing of nft, and the rules nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from in_chain import STRAY, TUNNEL, UP, InChain, frame, ip, layers
from scapy.layers.inet import ICMP, TCP, UDP, IPOption_LSRR, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6Unknown,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet

from netchain.model import addressing
from netchain.model.allowed import Direction, Link, allowed
from netchain.model.chain import Chain, QubeState, Role
from netchain.wire.decode import decode
from netchain.wire.judge import permits

pytestmark = pytest.mark.lab

PROFILES = {
    "vpn-before-tor": ("sys-net", "sys-firewall", "sys-proxyvm", "sys-whonix", "anon-whonix"),
    "tor-only": ("sys-net", "sys-firewall", "sys-whonix", "anon-whonix"),
    "vpn-only": ("sys-proxyvm", "work"),
}
QUBES = [(profile, qube) for profile, qubes in PROFILES.items() for qube in qubes]
PACKETS, BATCH = 400, 40
WIREGUARD = b"\x04" + bytes(60)  # what may go to the endpoint looks like this
PORTS = (22, 53, 80, 443, 1194, 5300, 9001, 9040, 9050, 40000, 51820)
SOMEWHERE = ["203.0.113.80", "198.18.7.1", "10.64.0.1", "10.64.0.2", "100.64.0.1", "100.64.0.2",
             "10.139.1.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.251", "192.168.1.1",
             "2001:db8:80::80", "2001:db8:a::1", "2001:db8:a::2", "fd00:64::2", "fe80::1", "::1",
             "::", "ff02::1", "ff02::fb", "ff05::2", "::ffff:10.137.0.12"]  # fmt: skip
ICMP6 = (ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6ND_RA, ICMPv6ND_Redirect)
EXTENSIONS = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment)


class Sender:
    """Makes up packets for the links of one qube."""

    def __init__(self, qube: InChain, seed: str) -> None:
        self.random = Random(seed)
        self.qube = qube
        everybody = [
            address(qube.chain, other.name)
            for other in qube.chain.qubes
            for address in (addressing.address4, addressing.address6)
        ]
        self.addresses = [*map(str, everybody), *SOMEWHERE]

    def packet(self, link: str) -> Packet:
        if self.random.random() < 0.15:
            return self._wanted(link)
        source, there = self._addresses(link)
        header = ip(source, there)
        six = ":" in source
        if self.random.random() < 0.08:
            header = self._odd(header, six)
        if self.random.random() < 0.3:
            return header / self._icmp(source, there)
        if self.random.random() < 0.1:
            return header / bytes(40)  # protocol 0 or hop by hop: what nobody wants
        return header / self._transport()

    def _wanted(self, link: str) -> Packet:
        """From a qube behind the link (or as if) to the endpoint, to a relay, to a gateway."""
        client = self.qube.links.get(link, self.qube.me)
        behind = addressing.senders_behind(self.qube.chain, client)
        source = addressing.address4(self.qube.chain, self.random.choice(behind).name)
        if self.random.random() < 0.4:
            header = ip(source, "198.18.7.1") / UDP(sport=40000, dport=51820)
            return header / WIREGUARD
        there = self.random.choice(("203.0.113.80", str(self.qube.own4)))
        return ip(source, there) / self._transport()

    def answer(self, data: bytes) -> bytes:
        """What the far end of a flow would say to it."""
        packet = layers(data)
        inner = packet.payload
        back = ip(packet.dst, packet.src)
        if isinstance(inner, UDP):
            return frame(back / UDP(sport=inner.dport, dport=inner.sport) / WIREGUARD)
        if isinstance(inner, TCP):
            answer = TCP(sport=inner.dport, dport=inner.sport, flags="SA", ack=inner.seq + 1)
            return frame(back / answer)
        return frame(back / self._icmp(packet.dst, packet.src))

    def _addresses(self, link: str) -> tuple[str, str]:
        source, there = self.random.choice(self.addresses), self.random.choice(self.addresses)
        if link in self.qube.links and self.random.random() < 0.7:
            behind = addressing.senders_behind(self.qube.chain, self.qube.links[link])
            name = self.random.choice(behind).name
            address = self.random.choice((addressing.address4, addressing.address6))
            source = str(address(self.qube.chain, name))
        while (":" in there) != (":" in source):
            there = self.random.choice(self.addresses)
        return source, there

    def _transport(self) -> Packet:
        sport, dport = self.random.choice(PORTS), self.random.choice(PORTS)
        if self.random.random() < 0.5:
            return UDP(sport=sport, dport=dport) / WIREGUARD
        flags = self.random.choice(("S", "S", "A", "SA", "PA", "FA", "R", "", "FPU"))
        return TCP(sport=sport, dport=dport, flags=flags, seq=1, ack=1)

    def _icmp(self, source: str, there: str) -> Packet:
        quoted = ip(there, source) / self._transport()
        if ":" not in source:
            kind = self.random.choice((0, 3, 3, 5, 8, 11, 12, 13, 17))
            return ICMP(type=kind, code=self.random.choice((0, 3, 4))) / quoted
        if self.random.random() < 0.5:
            return self.random.choice(ICMP6)()
        return ICMPv6Unknown(type=self.random.choice((1, 2, 3, 4, 130, 143))) / quoted

    def _odd(self, header: Packet, six: bool) -> Packet:
        if six:
            return header / self.random.choice(EXTENSIONS)()
        match self.random.randrange(4):
            case 0:
                header.options = [IPOption_LSRR(routers=["203.0.113.80"])]
            case 1:
                header.options = [IPOption_RR(routers=["0.0.0.0"] * 3)]
            case 2:
                header.flags, header.frag = "MF", self.random.choice((0, 8))
            case _:
                header.proto = self.random.choice((4, 41, 47, 50, 132, 136))
        return header


def judged(qube: InChain, link: str, data: bytes) -> bool:
    """Whether what came out of the link may be there, all qubes being open."""
    if link == STRAY:
        return False
    if link == TUNNEL:  # inside the tunnel: the tunnel's own address, and nothing of the qube's
        return layers(data).src in ("10.64.0.2", "fd00:64::2")
    ready = dict.fromkeys((q.name for q in qube.chain.qubes), QubeState.READY)
    wire = Link(qube.me.name, qube.me.netvm)
    if link != UP:
        wire = Link(qube.links[link].name, qube.me.name)
    direction = Direction.UP if link == UP else Direction.DOWN
    return permits(allowed(qube.chain, wire, ready), decode(data), direction)


@pytest.mark.parametrize(("profile", "name"), QUBES)
def test_whatever_comes_out_is_allowed(
    shipped: Callable[[str], Chain], profile: str, name: str
) -> None:
    with InChain(shipped(profile), name) as qube:
        for port in (22, 53, 5300, 9040, 9050):  # programs that would answer
            qube.socket("tcp6", bind=("::", port), listen=True)
        sender = Sender(qube, f"{profile} {name}")
        links = [UP, *qube.links, STRAY] + [TUNNEL] * (qube.me.role is Role.VPN_PROXY)
        came_out = 0
        answers: list[tuple[str, bytes]] = []
        for _ in range(PACKETS // BATCH):
            probes = [(link, frame(sender.packet(link))) for link in links for _ in range(BATCH)]
            for link, data in answers + probes:
                qube.send(data, link)
            answers = []
            for link, frames in qube.seen().items():
                came_out += len(frames)
                for data in frames:
                    assert judged(qube, link, data), f"out of {link}: {layers(data)!r}"
                answers += [(link, sender.answer(data)) for data in frames]
        assert came_out > 0 or qube.me.role is Role.WORKSTATION

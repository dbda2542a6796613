"""A qube of a chain on the bench: interfaces, addresses, routes and rules; frames to send it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from time import monotonic
from typing import Any

from one_qube import FAR_MAC, QUBE_MAC, OneQube
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netchain.model import addressing
from netchain.model.addressing import GROUP_DOWNSTREAM, GROUP_TUNNEL, GROUP_UPLINK, senders_behind
from netchain.model.chain import Address, Chain, Role
from netchain.nft.check import ROLE
from netchain.nft.fill import Facts, rules_for
from netchain.nft.ruleset import parse
from netchain.nft.statements import Decide, Reject, Verdict

UP, TUNNEL, STRAY = "eth0", "wg0", "stray0"
WEB4, WEB6 = "203.0.113.80", "2001:db8:80::80"
"""Somebody on the internet."""


class InChain(OneQube):
    """One qube of `chain` with its real rules; `stray0` is an interface of no group."""

    def __init__(self, chain: Chain, name: str, facts: Facts | None = None) -> None:
        super().__init__()
        self.chain, self.me = chain, chain[name]
        self.own4 = addressing.address4(chain, name)
        self.own6 = addressing.address6(chain, name)
        self.links = {
            addressing.downstream_interface(chain, c.name): c for c in chain.clients(name)
        }
        self.text = rules_for(chain, self.me, facts or Facts(tor_uid=0))
        self.nft(self.text)
        self._plug()

    def _plug(self) -> None:
        self.link(UP, GROUP_UPLINK)
        for vif in self.links:
            self.link(vif, GROUP_DOWNSTREAM)
        if self.me.role is Role.VPN_PROXY:
            self.link(TUNNEL, GROUP_TUNNEL, arp=False, mtu=1420)
        self.link(STRAY, 0, arp=False)
        lines = [*self._uplink(), *self._downstream(), *self._tunnel()]
        self.ip(*lines)
        self._await_addresses(sum(" nodad" in line for line in lines))
        self.seen()

    def _await_addresses(self, count: int) -> None:
        """The kernel makes an IPv6 address usable in a work queue: its local route tells."""
        local_routes = ("ip", "-6", "route", "show", "type", "local", "table", "local")
        deadline = monotonic() + 20
        while len(self.run(*local_routes).splitlines()) < count + 1:  # and loopback's
            assert monotonic() < deadline

    @property
    def uplink_ends(self) -> list[tuple[Address, Address]]:
        """Own address and gateway on the uplink, IPv4 and IPv6."""
        wan, netvm = self.chain.wan, self.me.netvm
        if netvm is not None:
            gateways = (
                addressing.address4(self.chain, netvm),
                addressing.address6(self.chain, netvm),
            )
            return list(zip((self.own4, self.own6), gateways, strict=True))
        assert wan is not None and wan.address6 is not None and wan.gateway6 is not None
        return [(wan.address4, wan.gateway4), (wan.address6, wan.gateway6)]

    def _uplink(self) -> Iterator[str]:
        for own, gateway in self.uplink_ends:
            yield _address(own, UP)
            yield from _neighbour(gateway, UP)
            yield f"route replace {_everywhere(own)} via {gateway} dev {UP} onlink"

    def _downstream(self) -> Iterator[str]:
        for vif, client in self.links.items():
            yield _address(self.own4, vif)
            yield _address(self.own6, vif)
            for address in (addressing.address4, addressing.address6):
                near = address(self.chain, client.name)
                yield from _neighbour(near, vif)
                for sender in senders_behind(self.chain, client)[1:]:
                    behind = address(self.chain, sender.name)
                    yield f"route replace {_host(behind)} via {near} dev {vif} onlink"

    def _tunnel(self) -> Iterator[str]:
        if self.me.vpn is None or self.me.vpn.settings is None:
            return
        settings = self.me.vpn.settings
        for own, gateway in self.uplink_ends:
            if settings.endpoint.address.version == own.version:
                host = _host(settings.endpoint.address)
                yield f"route replace {host} via {gateway} dev {UP} onlink"
        for address in settings.addresses:
            yield _address(address, TUNNEL)
            yield f"route replace {_everywhere(address)} dev {TUNNEL}"

    def tunnel_breaks(self) -> None:
        """The default routes point at the uplink: what a kill switch by routes would miss."""
        for own, gateway in self.uplink_ends:
            self.ip(f"route replace {_everywhere(own)} via {gateway} dev {UP} onlink")

    def met(self, comment: str) -> int:
        """How many packets met the rules with that comment."""
        rules = parse(self.run("nft", "-j", "list", "ruleset"))
        return rules.packets_by_comment(ROLE)[comment]

    def counted(self) -> Counter[str]:
        """Packets by "chain: comment" of the rules that they met; "+" before those that pass."""
        counted: Counter[str] = Counter()
        for chain in parse(self.run("nft", "-j", "list", "ruleset")).chains:
            for rule in chain.rules:
                last = rule.statements[-1]
                stops = isinstance(last, Reject) or last == Decide(Verdict.DROP)
                counted[f"{'' if stops else '+'}{chain.name}: {rule.comment}"] += rule.packets or 0
        return counted

    def client(self, index: int = 0) -> tuple[str, str, str]:
        """A downstream interface, and its qube's addresses."""
        vif, client = list(self.links.items())[index]
        own4 = addressing.address4(self.chain, client.name)
        return vif, str(own4), str(addressing.address6(self.chain, client.name))


def _address(address: Address, dev: str) -> str:
    return f"addr add {_host(address)} dev {dev}{' nodad' if address.version == 6 else ''}"


def _neighbour(address: Address, dev: str) -> Iterator[str]:
    yield f"neigh replace {address} lladdr {FAR_MAC} dev {dev} nud permanent"
    yield f"route replace {_host(address)} dev {dev}"


def _host(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _everywhere(address: Address) -> str:
    return "0.0.0.0/0" if isinstance(address, IPv4Address) else "::/0"


def frame(packet: Packet) -> bytes:
    """The packet on a link, towards the qube."""
    return bytes(Ether(src=FAR_MAC, dst=QUBE_MAC) / packet)


def ip(source: str | Address, destination: str | Address, **fields: Any) -> Packet:
    """An IP header of the family of the addresses."""
    kind = IPv6 if ":" in str(source) else IP
    return kind(src=str(source), dst=str(destination), **fields)


def tcp(source: str | Address, destination: str | Address, dport: int, sport: int = 40000,
        flags: str = "S", **fields: Any) -> bytes:  # fmt: skip
    layer = TCP(sport=sport, dport=dport, flags=flags, **fields)
    return frame(ip(source, destination) / layer)


def udp(source: str | Address, destination: str | Address, dport: int, sport: int = 40000,
        payload: bytes = b"hello to whom") -> bytes:  # fmt: skip
    return frame(ip(source, destination) / UDP(sport=sport, dport=dport) / payload)


def flows(frames: Iterable[bytes]) -> list[tuple[str, str, int, str, int]]:
    """Protocol, source, its port, destination, its port (of ICMP: type and code) of each frame."""
    return [_flow(Ether(data).payload) for data in frames]


def _flow(packet: Packet) -> tuple[str, str, int, str, int]:
    inner = packet.payload
    if isinstance(inner, TCP | UDP):
        return (inner.name.lower(), packet.src, inner.sport, packet.dst, inner.dport)
    if isinstance(inner, ICMP) or isinstance(packet, IPv6):
        return ("icmp", packet.src, inner.type, packet.dst, inner.code)
    raise AssertionError(f"neither TCP nor UDP nor ICMP: {packet!r}")


def layers(data: bytes) -> Packet:
    """The IP packet in a frame, to look into."""
    return Ether(data).payload


def sends(sock: socket.socket, address: tuple[str, int], payload: bytes = b"x") -> bool:
    """Whether the qube's own rules let the socket send a datagram."""
    try:
        sock.sendto(payload, address)
    except PermissionError:
        return False
    return True


def connects(sock: socket.socket, address: tuple[str, int]) -> None:
    """Start a TCP connection and do not wait for it."""
    sock.setblocking(False)
    sock.connect_ex(address)

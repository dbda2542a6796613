"""N, R. Routes past the tunnel, as a hostile uplink hands them out.

Each offer is sent first, as a DHCP server's answer that nobody asked for. Nobody in a chain listens
to it; so the routes are then put by hand into the VPN's qube, as its own client would have done.
The second lock, the routes, is open then: the rules alone must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from leaktests.engine.fault import Bench, Faults
from netchain.model.addressing import NETVM_MAC, address4, address6
from netchain.model.chain import Role

topic = Faults(Role.VPN_PROXY)
_HALVES = ("0.0.0.0/1", "128.0.0.0/1")
_HALVES6 = ("::/1", "8000::/1")
_HOSTS = ("203.0.113.121/32", "192.0.2.1/32", "198.51.100.80/32")
_LOCAL = ("198.51.100.0/24", "192.0.2.0/24")


@topic.fault("N01", "DHCP option 121 leads everything past the tunnel (TunnelVision)")
def option_121(bench: Bench) -> Iterator[None]:
    _offer(bench, 121, _HALVES)
    _obey(bench, *_HALVES, *_HALVES6)
    yield


@topic.fault("N02", "DHCP options 249 and 33 lead single hosts past the tunnel")
def option_249(bench: Bench) -> Iterator[None]:
    _offer(bench, 249, _HOSTS)
    _obey(bench, *_HOSTS, "2001:db8:121::1/128")
    yield


@topic.fault("N03", "a default route past the tunnel that is better than the tunnel's")
def default_route(bench: Bench) -> Iterator[None]:
    _offer(bench, 3, ())
    _obey(bench, "0.0.0.0/0", "::/0")
    yield


@topic.fault("R05", "the uplink's own network is a public one (LocalNet)")
def local_net(bench: Bench) -> Iterator[None]:
    _offer(bench, 1, ())
    _obey(bench, *_LOCAL, "2001:db8:1a4::/64", gateway=False)
    yield


def _offer(bench: Bench, option: int, routes: tuple[str, ...]) -> None:
    """A lease of 30 s down the uplink and down the link of the VPN's qube (TunnelVision's own)."""
    vpn = bench.qube(Role.VPN_PROXY)
    assert vpn.netvm is not None and bench.chain.wan is not None
    ends = [
        (bench.qube(Role.NET), str(bench.chain.wan.gateway4), str(bench.chain.wan.address4)),
        (vpn, str(address4(bench.chain, vpn.netvm)), str(address4(bench.chain, vpn.name))),
    ]
    for qube, server, client in ends:
        frames = [bytes(_lease(kind, server, client, option, routes)) for kind in ("offer", "ack")]
        bench.send(bench.uplink(qube), *frames)


def _lease(kind: str, server: str, client: str, option: int, routes: tuple[str, ...]) -> Packet:
    extra: list[object] = [("router", server), ("subnet_mask", "255.255.255.0")]
    if routes:
        extra.append((option, b"".join(_classless(route, server) for route in routes)))
        pairs = b"".join(_packed(route.partition("/")[0]) + _packed(server) for route in routes)
        extra.append((33, pairs))
    options = [("message-type", kind), ("server_id", server), ("lease_time", 30),
               ("name_server", "203.0.113.66"), ("interface-mtu", 68), *extra, "end"]  # fmt: skip
    return (
        Ether(src=NETVM_MAC, dst="ff:ff:ff:ff:ff:ff") / IP(src=server, dst="255.255.255.255")
        / UDP(sport=67, dport=68) / BOOTP(op=2, yiaddr=client, siaddr=server)
        / DHCP(options=options)
    )  # fmt: skip


def _classless(route: str, gateway: str) -> bytes:
    """RFC 3442: the prefix's length, as many of its bytes as count, the gateway."""
    network = IPv4Network(route)
    count = (network.prefixlen + 7) // 8
    head = bytes([network.prefixlen]) + network.network_address.packed[:count]
    return head + _packed(gateway)


def _packed(address: str) -> bytes:
    return IPv4Network(address).network_address.packed


def _obey(bench: Bench, *routes: str, gateway: bool = True) -> None:
    """Put the routes into the VPN's qube, before all others; its own stay as they are."""
    vpn = bench.qube(Role.VPN_PROXY)
    assert vpn.netvm is not None
    dev = bench.uplink_name(vpn)
    for route in routes:
        family, find = ("-6", address6) if ":" in route else ("-4", address4)
        via = ["via", str(find(bench.chain, vpn.netvm))] if gateway else []
        words = [family, "route", "add", route, *via, "dev", dev, "metric", "1"]
        bench.run(vpn, "ip", *words, *(["onlink"] if gateway else []))
        way = bench.run(vpn, "ip", family, "route", "show", route, "dev", dev)
        bench.require(bool(way), f"there is no route to {route}")

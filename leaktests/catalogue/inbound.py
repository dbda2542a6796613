"""I. From the uplink's side: what a hostile netvm, or the provider, can find out or get in."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address

from scapy.layers.inet6 import ICMPv6ND_NS
from scapy.layers.l2 import ARP
from scapy.packet import Packet, Raw

from leaktests.catalogue.link_scope import question, to_group
from leaktests.engine.probe import Aim, Topic
from netchain.model.allowed import Direction
from netchain.model.chain import Address
from netchain.wire import build

topic = Topic("inbound")
SERVED = (22, 53, 80, 443, 1194, 5300, 8082, 9040, 9050, 9051, 51820)
STRANGER = {4: "198.51.100.80", 6: "2001:db8:80::80"}
_ANSWER = "it is the answer that counts, and a reset has no room for the marker"
_NEIGHBOUR = "answered at most on the link, without the marker"


_down = partial(topic.probe, direction=Direction.DOWN)


def _stranger(aim: Aim) -> Address:
    return ip_address(STRANGER[aim.version])


def _behind(aim: Aim) -> list[Address]:
    """The tunnel's address, and those of all qubes but the link's two ends."""
    inside = [] if aim.tunnel is None else [aim.tunnel]
    return [*inside, *aim.place.others(aim.version)]


@_down("I01", "answers and resets for the tunnel's address", why_not=_ANSWER)
def tunnel_probe(aim: Aim) -> list[bytes]:
    """An address that answers on the wrong interface tells that there is a tunnel."""
    if aim.tunnel is None:
        return []
    source = _stranger(aim)
    return [
        aim.segment(40000, flags, sport=443, src=source, dst=aim.tunnel)
        for flags in ("SA", "R", "A", "S")
    ]


@_down("I01", "a ping and a datagram for the tunnel's address")
def tunnel_ping(aim: Aim) -> list[bytes]:
    if aim.tunnel is None:
        return []
    source = _stranger(aim)
    return [aim.ping(src=source, dst=aim.tunnel), aim.datagram(9, src=source, dst=aim.tunnel)]


@_down(
    "I02",
    "ARP for the tunnel's address and for other qubes'",
    families=(4,),
    why_not=_NEIGHBOUR,
    marked=False,
)
def arp(aim: Aim) -> list[Packet]:
    mac = aim.place.mac
    return [aim.ether(dst="ff:ff:ff:ff:ff:ff")
            / ARP(op="who-has", hwsrc=mac, hwdst="00:00:00:00:00:00", psrc=str(aim.own),
                  pdst=str(target))
            for target in _behind(aim)]  # fmt: skip


@_down(
    "I03",
    "neighbour solicitations for the tunnel's address and for other qubes'",
    families=(6,),
    why_not=_NEIGHBOUR,
    marked=False,
)
def solicitations(aim: Aim) -> list[Packet]:
    found = []
    for target in _behind(aim):
        group = ip_address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[-3:])
        mac = "33:33:ff:" + target.packed[-3:].hex(":")
        for ether, to in ((aim.ether(dst=mac), group), (aim.ether(), aim.place.peer(6))):
            found.append(ether / aim.ip(dst=str(to), ttl=255) / ICMPv6ND_NS(tgt=str(target)))
    return found


@_down("I04", "unsolicited TCP to the qube at the end of the link", why_not=_ANSWER)
def unsolicited_tcp(aim: Aim) -> list[bytes]:
    return [aim.segment(port) for port in SERVED]


@_down("I04", "unsolicited UDP and pings to the qube at the end of the link")
def unsolicited_udp(aim: Aim) -> list[bytes]:
    return [aim.ping(), *(aim.datagram(port) for port in SERVED)]


@_down("I05", "unsolicited packets that are routed at qubes further in")
def routed(aim: Aim) -> list[bytes]:
    sources = (aim.own, _stranger(aim))
    return [packet for to in aim.place.others(aim.version) for source in sources
            for packet in aim.all_three(src=source, dst=to)]  # fmt: skip


@_down("I06", "packets of a stranger: does the answer take another way?")
def asymmetric(aim: Aim) -> list[bytes]:
    """Who sends from a known host to a suspected address and gets the answer from a VPN's server
    has found out whose address it is."""
    source = _stranger(aim)
    found = [packet for to in (aim.to, aim.own) for packet in aim.all_three(src=source, dst=to)]
    return [*found, aim.segment(443, "SA", src=source), aim.segment(9001, src=source)]


@_down("I07", "echo, timestamp and mask requests")
def icmp_requests(aim: Aim) -> list[bytes]:
    if aim.version == 6:
        return [aim.ping(), aim.icmp(139), aim.icmp(133)]
    rest = bytes(4) + aim.marker + bytes(4)
    return [aim.ping(), *(aim.icmp(kind, rest=rest) for kind in (13, 15, 17))]


@_down("I08", "closed ports: refused, or silent?", why_not=_ANSWER)
def closed_ports(aim: Aim) -> list[bytes]:
    """A qube that refuses some ports and not others tells what it is."""
    found = [aim.segment(port, flags) for port in (1, 113, 40000) for flags in ("S", "A", "FPU")]
    return [*found, *(aim.datagram(port) for port in (1, 33434, 40000))]


@_down("I09", "node information queries, pings of all nodes and all routers", families=(6,))
def node_information(aim: Aim) -> list[Packet | bytes]:
    found: list[Packet | bytes] = []
    for group in ("ff02::1", "ff02::2"):
        mac = "33:33:00:00:00:0" + group[-1]
        ping = build.icmp(aim.own, ip_address(group), 128, 0, bytes(4) + aim.marker)
        found.append(aim.ether(dst=mac, type=0x86DD) / Raw(ping))
    by_address = b"\0\x02\0\0" + aim.marker + aim.to.packed  # RFC 4620: asks for its name
    return [*found, aim.icmp(139, 0, by_address)]


@_down("I15", "UPnP and NAT-PMP requests", why_not="answered at most on the link")
def port_mapping(aim: Aim) -> list[bytes]:
    search = b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\nST: upnp:rootdevice\r\nX: '
    pcp = b"\x02\x01\0\0" + bytes(4) + aim.marker + bytes(44)
    return [aim.datagram(1900, search + aim.marker), aim.datagram(5351, b"\0\0" + aim.marker),
            aim.datagram(5351, pcp), aim.segment(5000), aim.segment(49152)]  # fmt: skip


@_down("I16", "LLMNR and multicast DNS questions", why_not="answered at most on the link")
def responders(aim: Aim) -> list[Packet | bytes]:
    found: list[Packet | bytes] = []
    found += to_group(aim, ("224.0.0.252", "ff02::1:3"), 5355, question(aim, "lan"))
    found += to_group(aim, ("224.0.0.251", "ff02::fb"), 5353, question(aim), ttl=255)
    return [*found, aim.datagram(5355, question(aim)), aim.datagram(5353, question(aim)),
            aim.datagram(137, question(aim, "lan", 32))]  # fmt: skip

"""P. Protocols: what IP carries beside TCP, UDP and ICMP, and frames that are no IP at all."""

from __future__ import annotations

import struct

from scapy.contrib.mpls import MPLS
from scapy.layers.eap import EAPOL
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPPoE, PPPoED
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet, Raw

from leaktests.engine.probe import EVERYWHERE, Aim, Topic
from netchain.model.allowed import Direction
from netchain.wire import build

topic = Topic("other protocols")
_L2 = "no IP router forwards what is no IP"


def _ip(aim: Aim, protocol: int, body: bytes) -> bytes:
    return build.ip(aim.own, aim.to, protocol, body)


def _inner(aim: Aim, version: int) -> bytes:
    """A ping that rides inside, between the same ends where they are of that family."""
    if version == aim.version:
        return aim.ping()
    place = aim.place
    return build.icmp(
        place.own(version), place.peer(version), 8 if version == 4 else 128, 0,
        bytes(4) + aim.marker,
    )  # fmt: skip


@topic.probe("P20", "an SCTP INIT")
def sctp(aim: Aim) -> Packet:
    init = SCTPChunkInit(init_tag=aim.number, init_tsn=aim.number)
    return aim.ip() / SCTP(sport=aim.sport, dport=443, tag=0) / init / aim.load


@topic.probe("P20", "an SCTP header", classes=EVERYWHERE)
def sctp_header(aim: Aim) -> bytes:
    """Without a valid checksum, which only its ends would look at."""
    return _ip(aim, 132, struct.pack("!HHII", aim.sport, 443, 0, 0) + b"\x01\0\0\x14" + aim.marker)


@topic.probe("P21", "a DCCP request", classes=EVERYWHERE)
def dccp(aim: Aim) -> bytes:
    """RFC 4340, section 5.1: type 0 with long sequence numbers, and a service code."""
    head = struct.pack("!HHBBH", aim.sport, 443, 5, 0, 0) + b"\x01\0" + bytes(6)
    return _ip(aim, 33, head + bytes(4) + aim.marker)


@topic.probe("P22", "UDP-Lite", classes=EVERYWHERE)
def udp_lite(aim: Aim) -> bytes:
    return _ip(aim, 136, struct.pack("!HHHH", aim.sport, 443, 8, 0) + aim.marker)


@topic.probe("P23", "GRE around a packet", classes=EVERYWHERE)
def gre(aim: Aim) -> bytes:
    return _ip(aim, 47, b"\0\0" + aim.ethertype + aim.ping())


@topic.probe("P24", "IPsec's ESP", classes=EVERYWHERE)
def esp(aim: Aim) -> bytes:
    return _ip(aim, 50, aim.marker + bytes(24))


@topic.probe("P24", "IPsec's AH", classes=EVERYWHERE)
def ah(aim: Aim) -> bytes:
    """RFC 4302: next header UDP, 24 bytes; the marker is in the check value."""
    head = b"\x11\x04\0\0" + struct.pack("!II", 256, 1) + aim.marker + bytes(4)
    return _ip(aim, 51, head + struct.pack("!HHHH", aim.sport, 443, 16, 0) + aim.marker)


@topic.probe("P25", "IP in IP: 4, 41, 94", classes=EVERYWHERE)
def ip_in_ip(aim: Aim) -> list[bytes]:
    return [_ip(aim, 4, _inner(aim, 4)), _ip(aim, 41, _inner(aim, 6)), _ip(aim, 94, aim.ping())]


@topic.probe("P25", "EtherIP and L2TP", classes=EVERYWHERE)
def ethernet_in_ip(aim: Aim) -> list[bytes]:
    frame = bytes(12) + aim.ethertype + aim.ping()
    return [_ip(aim, 97, b"\x30\0" + frame), _ip(aim, 115, bytes(4) + frame)]


@topic.probe("P30", "OSPF, PIM, VRRP and EIGRP", classes=EVERYWHERE)
def routing_protocols(aim: Aim) -> list[bytes]:
    starts = {89: b"\x02\x01\0\x2c", 103: b"\x20\0\0\0", 112: b"\x21\x01\x64\x01", 88: b"\x02\x05"}
    return [_ip(aim, number, start + aim.marker + bytes(32)) for number, start in starts.items()]


@topic.probe("P32", "protocols 0, 253 and 255", classes=EVERYWHERE)
def reserved_protocols(aim: Aim) -> list[bytes]:
    """To IPv6 protocol 0 is hop-by-hop options: these are not."""
    return [_ip(aim, number, aim.marker + bytes(16)) for number in (0, 253, 255)]


@topic.probe(
    "P32", "protocols that nobody uses, down the link", direction=Direction.DOWN,
    why_not="the qube at the end of the link does not answer it",
)  # fmt: skip
def unused_down(aim: Aim) -> list[bytes]:
    return [_ip(aim, number, aim.marker + bytes(16)) for number in (2, 47, 50, 132, 136, 253)]


def _raw(aim: Aim, kind: int) -> Packet:
    return Ether(src=aim.place.mac, dst=aim.place.peer_mac, type=kind)


@topic.probe("P34", "ethertypes that are no IP", families=(4,), why_not=_L2)
def raw_ethertypes(aim: Aim) -> list[Packet]:
    """Experimental, AppleTalk, IPX, LLDP, MACsec, PTP, loopback, TIPC, CFM, FCoE, Wake-on-LAN."""
    kinds = (0x88B6, 0x809B, 0x8137, 0x88CC, 0x88E5, 0x88F7, 0x9000, 0x88CA, 0x8902, 0x8906)
    load = Raw(aim.marker.ljust(46, b"\0"))
    wake = Raw(b"\xff" * 6 + bytes.fromhex(aim.place.peer_mac.replace(":", "")) * 16 + aim.marker)
    return [*(_raw(aim, kind) / load for kind in kinds), _raw(aim, 0x0842) / wake]


@topic.probe("P34", "PPPoE and MPLS around a packet", why_not=_L2)
def pppoe_and_mpls(aim: Aim) -> list[Packet]:
    inner = aim.ping()
    protocol = b"\0\x21" if aim.version == 4 else b"\0\x57"
    return [
        _raw(aim, 0x8863) / PPPoED(len=len(aim.marker)) / aim.load,
        _raw(aim, 0x8864) / PPPoE(sessionid=1, len=len(inner) + 2) / Raw(protocol + inner),
        _raw(aim, 0x8847) / MPLS(label=100, s=1, ttl=64) / Raw(inner),
    ]


@topic.probe("P34", "a packet in a VLAN, and in two", why_not="no qube has a VLAN interface")
def vlans(aim: Aim) -> list[Packet]:
    kind, inner = int.from_bytes(aim.ethertype), Raw(aim.ping())
    tagged = Dot1Q(vlan=100, type=kind) / inner
    outer = Dot1AD(vlan=200, type=0x8100)
    return [_raw(aim, 0x8100) / tagged, _raw(aim, 0x88A8) / outer / tagged]


@topic.probe("P34", "a packet with a priority tag only")
def priority_tag(aim: Aim) -> Packet:
    """VLAN 0 is no VLAN: a stack takes such a packet as if it had no tag."""
    tag = Dot1Q(vlan=0, type=int.from_bytes(aim.ethertype), prio=1)
    return _raw(aim, 0x8100) / tag / Raw(aim.ping())


@topic.probe("P34", "spanning tree, EAPOL and RARP", families=(4,), why_not=_L2)
def l2_control(aim: Aim) -> list[Packet]:
    mac = aim.place.mac
    tree = Dot3(src=mac, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()
    eapol = Ether(src=mac, dst="01:80:c2:00:00:03", type=0x888E) / EAPOL(version=2, type=1)
    reverse = ARP(op=3, hwsrc=mac, hwdst=mac, psrc=str(aim.own), pdst=str(aim.own))
    rarp = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff", type=0x8035) / reverse
    return [tree / aim.load, eapol / aim.load, rarp / aim.load]


@topic.probe(
    "P34",
    "IPv4 under IPv6's ethertype and the other way round",
    why_not="the version does not fit the ethertype",
)
def swapped_ethertype(aim: Aim) -> Packet:
    return _raw(aim, 0x86DD if aim.version == 4 else 0x0800) / Raw(aim.ping())


@topic.probe("P25", "IPv4 in IPv4 as scapy nests it", families=(4,))
def nested(aim: Aim) -> Packet:
    return aim.ip() / IP(src=str(aim.own), dst=str(aim.place.peer(4))) / aim.load

"""L. What is meant for one link stays there: broadcast and multicast."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DUID_UUID, DHCP6_Solicit, DHCP6OptClientId
from scapy.layers.inet import UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.packet import Packet, Raw

from leaktests.engine.probe import Aim, Topic
from netchain.model.chain import Address
from netchain.wire.build import checksum

topic = Topic("link scope")
_GROUP = "no router passes a group or a broadcast on without being told to"
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_NOBODY = "0.0.0.0"  # noqa: S104 - sent, not bound


def group_mac(group: Address) -> str:
    """The MAC address of a group (RFC 1112, RFC 2464)."""
    low = group.packed[-3:] if group.version == 4 else group.packed[-4:]
    if group.version == 4:
        low = bytes((low[0] & 0x7F,)) + low[1:]
    return ((b"\x01\0\x5e" if group.version == 4 else b"\x33\x33") + low).hex(":")


def to_group(
    aim: Aim, groups: tuple[str, ...], port: int, data: bytes, ttl: int = 1
) -> list[Packet]:
    """A datagram to each group of this family, as a program of this link would send it."""
    found = []
    for address in map(ip_address, groups):
        if address.version == aim.version:
            packet = aim.ip(dst=str(address), ttl=ttl) / aim.udp(port) / Raw(data)
            found.append(aim.ether(dst=group_mac(address)) / packet)
    return found


def question(aim: Aim, suffix: str = "local", kind: int = 1) -> bytes:
    """A DNS question for a name that is this shot's own."""
    labels = [aim.marker.hex(), *suffix.split(".")]
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return struct.pack("!HHHHHH", 0, 0, 1, 0, 0, 0) + name + struct.pack("!BHH", 0, kind, 1)


@topic.probe("L01", "DHCP with host name, client id and vendor", families=(4,), why_not=_GROUP)
def dhcp(aim: Aim) -> list[Packet]:
    name = aim.marker.hex().encode()
    mac = bytes.fromhex(aim.place.mac.replace(":", ""))
    told = [("hostname", name), ("client_id", b"\x01" + mac), ("vendor_class_id", b"netchain")]
    head = UDP(sport=68, dport=67) / BOOTP(chaddr=mac, xid=aim.number, flags=0x8000)
    frame = aim.ether(dst=_BROADCAST) / aim.ip(src=_NOBODY, dst="255.255.255.255")
    return [frame / head / DHCP(options=[("message-type", kind), *told, "end"])
            for kind in ("discover", "request", "inform")]  # fmt: skip


@topic.probe("L02", "multicast DNS", why_not=_GROUP)
def mdns(aim: Aim) -> list[Packet]:
    return to_group(aim, ("224.0.0.251", "ff02::fb"), 5353, question(aim), ttl=255)


@topic.probe("L03", "SSDP", why_not=_GROUP)
def ssdp(aim: Aim) -> list[Packet]:
    search = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\n'
    text = search + b"MX: 1\r\nST: ssdp:all\r\nUSER-AGENT: " + aim.marker.hex().encode()
    groups = ("239.255.255.250", "ff02::c", "ff05::c")
    return to_group(aim, groups, 1900, text + b"\r\n\r\n", ttl=4)


@topic.probe("L04", "LLMNR", why_not=_GROUP)
def llmnr(aim: Aim) -> list[Packet]:
    return to_group(aim, ("224.0.0.252", "ff02::1:3"), 5355, question(aim, "lan"))


@topic.probe(
    "L05",
    "NetBIOS names and datagrams, broadcast and to the gateway",
    families=(4,),
    why_not=_GROUP,
)
def netbios(aim: Aim) -> list[Packet]:
    """A name query for `*`, encoded as NetBIOS does (RFC 1002); the marker follows it."""
    query = struct.pack("!HHHHHH", aim.number & 0xFFFF, 0x110, 1, 0, 0, 0)
    query += b"\x20CK" + b"A" * 30 + b"\0" + struct.pack("!HH", 32, 1) + aim.marker
    found = []
    for target, mac in (("255.255.255.255", _BROADCAST), ("10.137.255.255", _BROADCAST),
                        (str(aim.place.peer(4)), aim.place.peer_mac)):  # fmt: skip
        head = aim.ether(dst=mac) / aim.ip(dst=target)
        found += [head / UDP(sport=port, dport=port) / Raw(query) for port in (137, 138)]
    return found


@topic.probe("L06", "WS-Discovery", why_not=_GROUP)
def ws_discovery(aim: Aim) -> list[Packet]:
    text = b"<Probe><MessageID>urn:uuid:" + aim.marker.hex().encode() + b"</MessageID></Probe>"
    return to_group(aim, ("239.255.255.250", "ff02::c"), 3702, text)


@topic.probe("L07", "IGMP membership, versions 1 to 3", families=(4,), why_not=_GROUP)
def igmp(aim: Aim) -> list[Packet]:
    """RFC 1112, 2236 and 3376: type, code, checksum, then the group or a record of it."""
    group = bytes((239, 1, 2, 3))
    rests = {0x12: ("239.1.2.3", group), 0x16: ("239.1.2.3", group), 0x17: ("224.0.0.2", group),
             0x22: ("224.0.0.22", b"\0\0\0\x01\x04\0\0\0" + group)}  # fmt: skip
    found = []
    for kind, (to, rest) in rests.items():
        body = bytes((kind, 0, 0, 0)) + rest + aim.marker
        message = Raw(body[:2] + checksum(body).to_bytes(2) + body[4:])
        header = aim.ip(dst=to, ttl=1, proto=2, options=[IPOption_Router_Alert()])
        found.append(aim.ether(dst=group_mac(IPv4Address(to))) / header / message)
    return found


@topic.probe(
    "L08",
    "MLD reports, versions 1 and 2, for a group of this shot's own",
    families=(6,),
    why_not=_GROUP,
)
def mld(aim: Aim) -> list[Packet]:
    """The marker is the end of the group's address."""
    group = IPv6Address(b"\xff\x05" + bytes(6) + aim.marker)
    hop = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    record = ICMPv6MLDMultAddrRec(rtype=4, dst=str(group))
    reports = {group: ICMPv6MLReport(mladdr=str(group)),
               IPv6Address("ff02::16"): ICMPv6MLReport2(records=[record])}  # fmt: skip
    found = []
    for target, report in reports.items():
        header = aim.ip(dst=str(target), ttl=1)
        found.append(aim.ether(dst=group_mac(target)) / header / hop / report)
    return found


@topic.probe("L09", "wider groups, with the gateway's MAC address", why_not=_GROUP)
def wide_groups(aim: Aim) -> list[bytes]:
    groups = ("239.255.255.250", "224.0.1.1") if aim.version == 4 else ("ff05::1:3", "ff0e::c")
    return [aim.datagram(5355, dst=ip_address(group)) for group in groups]


@topic.probe("L10", "broadcast addresses of networks further up", families=(4,))
def directed_broadcast(aim: Aim) -> list[bytes]:
    """Only a network's own router knows that it is one: any other passes it on."""
    targets = ("10.137.255.255", "192.168.1.255", "100.64.255.255", "198.51.100.255")
    return [packet for to in targets for packet in aim.all_three(dst=ip_address(to))]


@topic.probe(
    "L11", "the broadcast address, with the gateway's MAC address", families=(4,), why_not=_GROUP
)
def broadcast_to_gateway(aim: Aim) -> list[bytes]:
    return aim.all_three(dst=ip_address("255.255.255.255"))


@topic.probe(
    "L11",
    "an ordinary packet, with the broadcast MAC address",
    why_not="a router passes on only what is sent to its own MAC address",
)
def broadcast_mac(aim: Aim) -> list[Packet]:
    return [aim.ether(dst=_BROADCAST) / Raw(packet) for packet in aim.all_three()]


@topic.probe("L15", "a DHCPv6 solicit", families=(6,), why_not=_GROUP)
def dhcp6(aim: Aim) -> list[Packet]:
    """The marker is the client's id."""
    solicit = DHCP6_Solicit(trid=aim.number & 0xFFFFFF)
    client = DHCP6OptClientId(duid=DUID_UUID(uuid=bytes(8) + aim.marker))
    return [aim.ether(dst=group_mac(IPv6Address(group))) / aim.ip(dst=group, ttl=1)
            / UDP(sport=546, dport=547) / solicit / client
            for group in ("ff02::1:2", "ff05::1:3")]  # fmt: skip


@topic.probe("L16", "groups with a TTL that would cross routers", why_not=_GROUP)
def multicast_forwarding(aim: Aim) -> list[Packet]:
    return to_group(aim, ("239.1.2.3", "232.1.2.3", "ff0e::1234"), 4444, aim.marker, ttl=32)


@topic.probe(
    "L17", "frames for MAC addresses beyond the gateway", why_not="only a bridge would pass them on"
)
def beyond_the_gateway(aim: Aim) -> list[Packet]:
    macs = ("00:16:3e:5e:6c:01", "02:00:00:00:00:02", "01:80:c2:00:00:0e", "33:33:00:00:00:01")
    return [aim.ether(dst=mac) / Raw(aim.datagram(4444)) for mac in macs]

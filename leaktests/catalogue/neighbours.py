"""L. Neighbours and routers: who has an address, who passes packets on; meant for one link."""

from __future__ import annotations

from ipaddress import IPv6Address

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
)
from scapy.layers.l2 import ARP
from scapy.packet import Packet, Raw

from leaktests.catalogue.link_scope import group_mac
from leaktests.engine.probe import Aim, Topic
from netchain.model.addressing import address6
from netchain.model.allowed import Direction

topic = Topic("neighbours")
_NEIGHBOUR = "meant for the link, and answered at most there"
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_STRANGER6 = IPv6Address("2001:db8:80::80")
_NOBODY = "0.0.0.0"  # noqa: S104 - sent, not bound


@topic.probe("L12", "ARP for addresses further up", families=(4,), why_not=_NEIGHBOUR, marked=False)
def arp_upstream(aim: Aim) -> list[Packet]:
    wan = aim.place.chain.wan
    found = [*aim.place.others(4), aim.to, *([wan.address4, wan.gateway4] if wan else [])]
    return [aim.ether(dst=_BROADCAST) / _arp(aim, "who-has", str(target)) for target in found]


def _arp(aim: Aim, op: str, target: str) -> Packet:
    return ARP(op=op, hwsrc=aim.place.mac, psrc=str(aim.own), hwdst="00:00:00:00:00:00",
               pdst=target)  # fmt: skip


@topic.probe(
    "L13",
    "gratuitous ARP, and ARP in the name of others",
    families=(4,),
    why_not=_NEIGHBOUR,
    marked=False,
)
def gratuitous_arp(aim: Aim) -> list[Packet]:
    mac, frame = aim.place.mac, aim.ether(dst=_BROADCAST)
    found = []
    for address in (aim.own, aim.place.peer(4), aim.to):
        for op in ("who-has", "is-at"):
            ends = {"psrc": str(address), "pdst": str(address)}
            found.append(frame / ARP(op=op, hwsrc=mac, hwdst=_BROADCAST, **ends))
    return found


@topic.probe(
    "L13", "unsolicited neighbour advertisements", families=(6,), why_not=_NEIGHBOUR, marked=False
)
def advertisements(aim: Aim) -> list[Packet]:
    frame = aim.ether(dst="33:33:00:00:00:01") / aim.ip(dst="ff02::1", ttl=255)
    return [frame / ICMPv6ND_NA(tgt=str(target), R=1, S=0, O=1)
            for target in (aim.own, aim.place.peer(6), aim.to)]  # fmt: skip


@topic.probe(
    "L13",
    "neighbour solicitations for addresses further up",
    families=(6,),
    why_not=_NEIGHBOUR,
    marked=False,
)
def solicitations(aim: Aim) -> list[Packet]:
    wan = aim.place.chain.wan
    found = [*aim.place.others(6), aim.to, *([wan.address6] if wan and wan.address6 else [])]
    return [aim.ether() / aim.ip(ttl=255, dst=str(aim.place.peer(6))) / ICMPv6ND_NS(tgt=str(target))
            for target in found]  # fmt: skip


_ASKED = "a neighbour is answered on its link, or not at all"


@topic.probe(
    "L13", "neighbour discovery from further away, and in the name of others", families=(6,),
    why_not=_ASKED,
)  # fmt: skip
def forged_discovery(aim: Aim) -> list[Packet]:
    return _forged_discovery(aim)


@topic.probe(
    "L13", "neighbour discovery from further away, and in the name of others, down the link",
    families=(6,), direction=Direction.DOWN, why_not=_ASKED,
)  # fmt: skip
def forged_discovery_down(aim: Aim) -> list[Packet]:
    return _forged_discovery(aim)


@topic.probe(
    "L13", "forged neighbour discovery, to the group of the one who is asked", families=(6,),
    why_not=_ASKED,
)  # fmt: skip
def forged_to_group(aim: Aim) -> list[Packet]:
    return _forged_discovery(aim, to_its_group=True)


@topic.probe(
    "L13", "forged neighbour discovery, to the group of the one who is asked, down the link",
    families=(6,), direction=Direction.DOWN, why_not=_ASKED,
)  # fmt: skip
def forged_to_group_down(aim: Aim) -> list[Packet]:
    return _forged_discovery(aim, to_its_group=True)


def _forged_discovery(aim: Aim, *, to_its_group: bool = False) -> list[Packet]:
    """A hop limit of 64 cannot come from the link (RFC 4861, 7.1.1); the marker is a nonce
    (RFC 3971, 5.3.2)."""
    peer = aim.place.peer(6)
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + peer.packed[-3:])
    ends = [(group, aim.ether(dst=group_mac(group)))] if to_its_group else [(peer, aim.ether())]
    option = Raw(b"\x0e\x02" + aim.marker + bytes(6))
    inside = address6(aim.place.chain, aim.place.link.client)  # sys-net has another one outside
    sources = [*aim.place.others(6), _STRANGER6, *([inside] if inside != aim.own else [])]
    found = []
    for message in (ICMPv6ND_NS(tgt=str(peer)), ICMPv6ND_NA(tgt=str(aim.own), R=0, S=1, O=1)):
        for to, ether in ends:
            found.append(ether / aim.ip(dst=str(to), ttl=64) / message / option)
            for source in sources:
                forged = {"src": str(source), "dst": str(to), "ttl": 255}
                found.append(ether / aim.ip(**forged) / message / option)
    return found


@topic.probe(
    "L14",
    "router solicitation, advertisement and redirect from the client",
    families=(6,),
    why_not=_NEIGHBOUR,
)
def router_messages(aim: Aim) -> list[Packet]:
    prefix = ICMPv6NDOptPrefixInfo(prefix="2001:db8:666::", prefixlen=64)
    dns = ICMPv6NDOptRDNSS(dns=["2001:db8:666::53"], lifetime=600)
    everybody = aim.ip(dst="ff02::1", ttl=255)
    redirect = ICMPv6ND_Redirect(tgt=str(aim.own), dst=str(aim.to))
    routers = aim.ip(dst="ff02::2", ttl=255)
    return [
        aim.ether(dst="33:33:00:00:00:02") / routers / ICMPv6ND_RS() / aim.load,
        aim.ether(dst="33:33:00:00:00:01") / everybody / ICMPv6ND_RA() / prefix / dns / aim.load,
        aim.ether() / aim.ip(dst=str(aim.place.peer(6)), ttl=255) / redirect / aim.load,
    ]

"""P. Protocols: whatever a qube may speak, towards every destination class, IPv4 and IPv6."""

from __future__ import annotations

from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.packet import Packet

from leaktests.engine.probe import EVERYWHERE, Aim, Topic

topic = Topic("protocols")


@topic.probe("P01", "an ICMP echo request", classes=EVERYWHERE)
def echo(aim: Aim) -> Packet:
    return aim.ip() / (ICMP() if aim.version == 4 else ICMPv6EchoRequest()) / aim.load


@topic.probe("P05", "a DNS question over UDP", classes=EVERYWHERE)
def dns_over_udp(aim: Aim) -> Packet:
    return aim.ip() / aim.udp(53) / DNS(qd=DNSQR(qname=f"{aim.marker.hex()}.example."))


@topic.probe("P14", "a TCP SYN to a port that programs use", classes=EVERYWHERE)
def tcp_syn(aim: Aim) -> list[Packet]:
    return [aim.ip() / aim.tcp(port) for port in (22, 80, 443, 9001, 9030)]

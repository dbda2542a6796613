"""P. Sweeps: every ICMP type, every IP protocol, and the ports that anything listens at."""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.engine.probe import Aim, Topic
from netchain.wire import build

topic = Topic("sweeps")
_ITSELF = "they are for the gateway itself"
_TRIED_APART = frozenset({build.ICMP, build.TCP, build.UDP, build.ICMP6})
_LISTENED_AT = (1053, 1080, 1194, 1337, 1701, 1723, 1900, 2049, 3128, 3306, 3389, 4433, 4500, 5000,
                5060, 5222, 5300, 5353, 5355, 5432, 5900, 6000, 6379, 6667, 6881, 8000, 8080, 8082,
                8118, 8333, 8443, 8888, 9000, 9001, 9030, 9040, 9041, 9050, 9051, 9052, 9053, 9100,
                9109, 9111, 9150, 9151, 9418, 9876, 10000, 27017, 32768, 51820, 60999,
                65535)  # fmt: skip
"""Of programs, of Tor gateways (SocksPorts, TransPort, DNSPort, control ports), of Qubes."""
PORTS = (0, *range(1, 1024, 7), *_LISTENED_AT)


@topic.probe("P03", "every ICMP type", families=(4,))
def icmp_types(aim: Aim) -> Iterator[bytes]:
    return (aim.icmp(kind) for kind in range(256))


@topic.probe("P04", "every ICMPv6 type", families=(6,))
def icmp6_types(aim: Aim) -> Iterator[bytes]:
    return (aim.icmp(kind) for kind in range(256))


@topic.probe("P27", "every IPv4 protocol number", families=(4,))
def protocols(aim: Aim) -> Iterator[bytes]:
    return _numbers(aim)


@topic.probe("P31", "every IPv6 next header", families=(6,))
def next_headers(aim: Aim) -> Iterator[bytes]:
    return _numbers(aim)


def _numbers(aim: Aim) -> Iterator[bytes]:
    for number in sorted(set(range(256)) - _TRIED_APART):
        yield build.ip(aim.own, aim.to, number, aim.marker + bytes(16))


@topic.probe("P28", "UDP ports")
def udp_ports(aim: Aim) -> Iterator[bytes]:
    return (aim.datagram(port) for port in PORTS)


@topic.probe("P28", "UDP ports of the gateway itself", why_not=_ITSELF)
def udp_ports_of_gateway(aim: Aim) -> Iterator[bytes]:
    return (aim.datagram(port, dst=aim.place.peer(aim.version)) for port in _LISTENED_AT)


@topic.probe("P29", "TCP ports")
def tcp_ports(aim: Aim) -> Iterator[bytes]:
    return (aim.segment(port) for port in PORTS)


@topic.probe("P29", "TCP ports of the gateway itself", why_not=_ITSELF)
def tcp_ports_of_gateway(aim: Aim) -> Iterator[bytes]:
    return (aim.segment(port, dst=aim.place.peer(aim.version)) for port in _LISTENED_AT)

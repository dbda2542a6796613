"""P. Protocols: TCP, UDP and ICMP towards every destination class, IPv4 and IPv6."""

from __future__ import annotations

import struct

from leaktests.engine.probe import EVERYWHERE, Aim, Topic
from netchain.tor.torrc import SOCKS_PORTS, TRANS_PORT

topic = Topic("protocols")
_OF_TOR = (SOCKS_PORTS[0], TRANS_PORT)
_QUIC_VERSION = b"\0\0\0\x01"


@topic.probe("P01", "an ICMP echo request", classes=EVERYWHERE)
def echo(aim: Aim) -> bytes:
    return aim.ping()


@topic.probe(
    "P02",
    "ICMP timestamp, information, mask and router requests",
    classes=EVERYWHERE,
    families=(4,),
)
def icmp_requests(aim: Aim) -> list[bytes]:
    return [aim.icmp(kind, rest=bytes(4) + aim.marker + bytes(4)) for kind in (13, 15, 17, 10)]


@topic.probe("P05", "a DNS question over UDP", classes=EVERYWHERE)
def dns_over_udp(aim: Aim) -> bytes:
    name = aim.marker.hex().encode()
    question = bytes((len(name),)) + name + b"\x07example\0" + struct.pack("!HH", 1, 1)
    return aim.datagram(53, struct.pack("!HHHHHH", 1, 0x100, 1, 0, 0, 0) + question)


@topic.probe("P06", "a TCP SYN to port 53", classes=EVERYWHERE)
def dns_over_tcp(aim: Aim) -> bytes:
    return aim.segment(53)


@topic.probe("P07", "a QUIC Initial", classes=EVERYWHERE)
def quic(aim: Aim) -> bytes:
    """The long header (RFC 9000, 17.2): the marker is the destination's connection id."""
    head = b"\xc0" + _QUIC_VERSION + b"\x08" + aim.marker + b"\0\0\x44\x9e"
    return aim.datagram(443, head.ljust(1200, b"\0"))


@topic.probe("P08", "an NTP request", classes=EVERYWHERE)
def ntp(aim: Aim) -> bytes:
    return aim.datagram(123, b"\x23" + bytes(39) + aim.marker)


@topic.probe("P09", "IKE, and IKE behind NAT", classes=EVERYWHERE)
def ike(aim: Aim) -> list[bytes]:
    """IKE_SA_INIT's header (RFC 7296, 3.1): the marker is the initiator's SPI."""
    head = aim.marker + bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 8, 0, 28)
    return [aim.datagram(500, head), aim.datagram(4500, bytes(4) + head)]


@topic.probe("P10", "WireGuard and OpenVPN to other servers", classes=EVERYWHERE)
def other_vpns(aim: Aim) -> list[bytes]:
    """Not to the chain's own server and port: there it would be the VPN itself."""
    frames = [(51820, b"\x01\0\0\0" + aim.marker + bytes(136)), (1194, b"\x38" + aim.marker)]
    end = aim.endpoint
    own = (end.address, end.port) if end else None
    return [aim.datagram(port, data) for port, data in frames if (aim.to, port) != own]


@topic.probe("P11", "STUN binding requests", classes=EVERYWHERE)
def stun(aim: Aim) -> list[bytes]:
    """RFC 8489, section 5: the marker is in the transaction id."""
    head = struct.pack("!HHI", 1, 0, 0x2112A442) + bytes(4) + aim.marker
    return [aim.datagram(port, head) for port in (3478, 19302)]


@topic.probe("P12", "a Teredo bubble", classes=EVERYWHERE)
def teredo(aim: Aim) -> bytes:
    return aim.datagram(3544, b"\x60\0\0\0\0\0\x3b\x15" + bytes(24) + aim.marker)


@topic.probe("P13", "BitTorrent's DHT and uTP", classes=EVERYWHERE)
def torrent(aim: Aim) -> list[bytes]:
    query = b"d1:ad2:id20:" + bytes(12) + aim.marker + b"e1:q4:ping1:t2:aa1:y1:qe"
    return [aim.datagram(6881, query), aim.datagram(6881, b"\x41\0" + aim.marker + bytes(10))]


@topic.probe("P14", "a TCP SYN to a port that programs use", classes=EVERYWHERE)
def tcp_syn(aim: Aim) -> list[bytes]:
    return [aim.segment(port) for port in (22, 80, 443, 9001, 9030)]


@topic.probe("P15", "a TCP ACK of no flow, with data", classes=EVERYWHERE)
def tcp_ack(aim: Aim) -> list[bytes]:
    return [aim.segment(443, "A"), aim.segment(443, "PA", aim.marker)]


@topic.probe(
    "P15",
    "a TCP ACK of no flow, to tor's own ports at the gateway",
    why_not="it is for the gateway itself, and ends there",
)
def tcp_ack_to_gateway(aim: Aim) -> list[bytes]:
    return [aim.segment(port, "A", dst=aim.place.peer(aim.version)) for port in _OF_TOR]


@topic.probe("P16", "a TCP FIN of no flow", classes=EVERYWHERE)
def tcp_fin(aim: Aim) -> bytes:
    return aim.segment(443, "FA")


@topic.probe("P17", "a TCP reset of no flow", classes=EVERYWHERE)
def tcp_reset(aim: Aim) -> list[bytes]:
    return [aim.segment(443, "R"), aim.segment(443, "RA")]


@topic.probe("P18", "TCP flags that no flow has", classes=EVERYWHERE)
def tcp_odd_flags(aim: Aim) -> list[bytes]:
    return [aim.segment(443, flags) for flags in ("", "FPU", "SF", "SR", "FSRPAU")]


@topic.probe("P19", "TCP Fast Open with data, and a multipath SYN", classes=EVERYWHERE)
def tcp_new_options(aim: Aim) -> list[bytes]:
    """RFC 7413 (kind 34, a cookie) and RFC 8684 (kind 30, MP_CAPABLE)."""
    fast_open = b"\x22\x0a" + aim.marker + b"\x01\x01"
    multipath = b"\x1e\x04\x01\x81"
    return [
        aim.segment(443, data=aim.marker, options=fast_open),
        aim.segment(443, options=multipath),
    ]


@topic.probe("P26", "VXLAN, Geneve and FOU", classes=EVERYWHERE)
def tunnels_in_udp(aim: Aim) -> list[bytes]:
    inner = aim.ping()
    vxlan = b"\x08\0\0\0" + bytes(4) + bytes(12) + aim.ethertype + inner
    geneve = b"\0\0" + aim.ethertype + bytes(4) + inner
    return [aim.datagram(4789, vxlan), aim.datagram(6081, geneve), aim.datagram(5555, inner)]


@topic.probe("P33", "UDP of length zero, too long, too short, with a wrong checksum")
def udp_lengths(aim: Aim) -> list[bytes]:
    """Bytes 4 to 8 of the UDP header are its length and its checksum."""
    plain = aim.datagram(4444)
    at = len(plain) - len(aim.marker) - 4
    odd = [struct.pack("!H", length) for length in (0, 4, 12, 4000)]
    return [
        *(plain[:at] + length + plain[at + 2 :] for length in odd),
        plain[: at + 2] + b"\xde\xad" + plain[at + 4 :],
    ]


@topic.probe("P33", "a jumbogram", families=(6,), why_not="a jumbogram must be longer than 64 KiB")
def jumbogram(aim: Aim) -> bytes:
    """Payload length zero and the jumbo option (RFC 2675), so that the lengths do not fit."""
    plain = aim.datagram(4444)
    option = b"\x11\0\xc2\x04" + (70000).to_bytes(4)
    return plain[:4] + b"\0\0" + b"\0" + plain[7:40] + option + plain[40:]

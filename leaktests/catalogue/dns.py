"""D. Names: every way to ask for one, of every resolver that somebody might configure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from leaktests.engine.probe import EVERYWHERE, Aim, Topic
from leaktests.engine.target import vpn_settings
from netchain.model.addressing import VIRTUAL_DNS
from netchain.model.chain import Address, Role

topic = Topic("names")
A, NS, PTR, MX, TXT, AAAA, DNSKEY, HTTPS, ANY = 1, 2, 12, 15, 16, 28, 48, 65, 255
FOREIGN = {4: "203.0.113.9", 6: "2001:db8:9::9"}
_HELLO = b"\x16\x03\x01\0\x28\x01\0\0\x24\x03\x03"
"""The start of a TLS ClientHello, up to its random bytes (RFC 8446, section 4.1.2)."""


def question(aim: Aim, suffix: str = "example", kind: int = A, more: bytes = b"") -> bytes:
    """A DNS message that asks for a name of this shot's own; `more` is one additional record."""
    labels = [aim.marker.hex(), *(suffix.split(".") if suffix else [])]
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"
    head = struct.pack("!HHHHHH", aim.number & 0xFFFF, 0x100, 1, 0, 0, 1 if more else 0)
    return head + name + struct.pack("!HH", kind, 1) + more


def _resolvers(aim: Aim) -> tuple[Address, ...]:
    """Those that the chain's VPN names, of this family."""
    settings = vpn_settings(aim.place.chain)
    return tuple(a for a in (settings.dns if settings else ()) if a.version == aim.version)


def _foreign(aim: Aim) -> Address:
    return ip_address(FOREIGN[aim.version])


@topic.probe("D01", "a question to the VPN's resolver and to the first virtual one")
def assigned(aim: Aim) -> list[bytes]:
    """From every qube: only inside the tunnel may it be asked."""
    virtual = VIRTUAL_DNS[:1] if aim.version == 4 else ()
    return [aim.datagram(53, question(aim), dst=to) for to in (*_resolvers(aim), *virtual)]


@topic.probe("D02", "a question to a resolver of one's own choice", classes=EVERYWHERE)
def foreign(aim: Aim) -> bytes:
    return aim.datagram(53, question(aim))


@topic.probe("D03", "a question over TCP")
def over_tcp(aim: Aim) -> list[bytes]:
    message = question(aim)
    data = len(message).to_bytes(2) + message
    to = (*_resolvers(aim), _foreign(aim), aim.to)
    return [aim.segment(53, "PA", data, dst=one) for one in to] + [aim.segment(53)]


@topic.probe("D04", "DNS over TLS")
def over_tls(aim: Aim) -> list[bytes]:
    return [aim.segment(853), aim.segment(853, "PA", _HELLO + aim.marker + bytes(24))]


@topic.probe("D05", "DNS over HTTPS")
def over_https(aim: Aim) -> list[bytes]:
    name = b"dns.example"
    data = _HELLO + aim.marker + bytes(24) + name
    return [aim.segment(443, "PA", data, dst=to) for to in (_foreign(aim), aim.to)]


@topic.probe("D06", "DNS over QUIC and over HTTP/3")
def over_quic(aim: Aim) -> list[bytes]:
    initial = b"\xc3\0\0\0\x01\x08" + aim.marker + b"\0\0\x44\x9e"
    return [aim.datagram(port, initial.ljust(1200, b"\0")) for port in (853, 443, 8853, 784)]


@topic.probe("D07", "DNSCrypt")
def dnscrypt(aim: Aim) -> list[bytes]:
    """The marker stands where the client's magic number does."""
    query = aim.marker + bytes(248)
    found = [aim.datagram(port, query) for port in (443, 5443, 2053)]
    return [*found, aim.segment(5443, "PA", query), aim.segment(2053, "PA", query)]


@topic.probe("D08", "questions of every kind, and for names that are not public")
def kinds(aim: Aim) -> Iterator[bytes]:
    for kind in (AAAA, MX, TXT, DNSKEY, HTTPS, ANY):
        yield aim.datagram(53, question(aim, kind=kind))
    for suffix in ("onion", "local", "lan", "test", "home.arpa", "internal", "exit"):
        yield aim.datagram(53, question(aim, suffix))
    for suffix in ("13.0.137.10.in-addr.arpa", "ip6.arpa"):
        yield aim.datagram(53, question(aim, suffix, PTR))


@topic.probe("D09", "an onion name to a resolver that is not Tor's")
def onion(aim: Aim) -> list[bytes]:
    name = "expyuzz4wqqyqhjn" * 3 + "2345abcd.onion"
    to = (*_resolvers(aim), _foreign(aim))
    return [aim.datagram(53, question(aim, name, kind), dst=one) for one in to
            for kind in (A, AAAA)]  # fmt: skip


@topic.probe("D10", "questions to the second virtual resolver", families=(4,))
def second_resolver(aim: Aim) -> list[bytes]:
    """Where only the first is translated, the second one's questions go another way."""
    second = VIRTUAL_DNS[1]
    return [aim.datagram(53, question(aim), dst=second), aim.segment(53, dst=second),
            aim.segment(853, dst=second)]  # fmt: skip


@topic.probe("D12", "a question that carries the client's subnet")
def client_subnet(aim: Aim) -> bytes:
    """EDNS (RFC 6891) with option 8 (RFC 7871)."""
    own = aim.own
    data = struct.pack("!HBB", 1 if own.version == 4 else 2, own.max_prefixlen, 0) + own.packed
    option = struct.pack("!HH", 8, len(data)) + data
    record = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option
    return aim.datagram(53, question(aim, more=record))


@topic.probe("D21", "data in the labels of names")
def tunnelled(aim: Aim) -> list[bytes]:
    long = ".".join(["a5" * 31] * 3)
    return [aim.datagram(53, question(aim, long, kind)) for kind in (TXT, A, 10)]


@topic.probe(
    "D22",
    "questions for IPv4 and IPv6 addresses to the gateway",
    roles=frozenset({Role.WORKSTATION}),
    why_not="they are for the gateway itself",
)
def of_gateway(aim: Aim) -> list[bytes]:
    """Below a Tor gateway tor answers them; nothing of it may be seen further up."""
    peer = aim.place.peer(aim.version)
    found = [aim.datagram(53, question(aim, kind=kind), dst=peer) for kind in (A, AAAA)]
    return [*found, aim.datagram(5300, question(aim), dst=peer)]


@topic.probe("D23", "proxy discovery and search domains")
def search_domains(aim: Aim) -> list[bytes]:
    suffixes = ("wpad.lan", "wpad", "isatap.lan", "corp.example", "")
    return [aim.datagram(53, question(aim, suffix)) for suffix in suffixes]


@topic.probe("D24", "what a resolver of one's own asks the root")
def root(aim: Aim) -> list[bytes]:
    """Priming (RFC 8109) and the root's keys; the marker is in a cookie (RFC 7873)."""
    found = []
    for kind in (NS, DNSKEY):
        head = struct.pack("!HHHHHH", aim.number & 0xFFFF, 0, 1, 0, 0, 1)
        cookie = struct.pack("!HH", 10, 8) + aim.marker
        record = b"\0" + struct.pack("!HHIH", 41, 1232, 0x8000, len(cookie)) + cookie
        found.append(aim.datagram(53, head + b"\0" + struct.pack("!HH", kind, 1) + record))
    return found


@topic.probe("D25", "questions to the next hop, and to the usual routers of a LAN")
def next_hop(aim: Aim) -> list[bytes]:
    routers = ("192.168.0.1", "192.168.1.1", "10.0.0.1", "172.16.0.1", "fd00::1")
    every = (aim.place.peer(aim.version), *map(ip_address, routers))
    to = [one for one in every if one.version == aim.version]
    return [aim.datagram(53, question(aim), dst=one) for one in to]

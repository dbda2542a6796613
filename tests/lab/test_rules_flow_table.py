"""The VPN qube's flow table holds strange things: flows from before its rules (C02), marks and
zones of another program's (C13), or no room any more (C08). Nothing finds another way out.

The routes lead past the tunnel in all of them, so that the rules alone must hold; each has a
control in which the same packets do come out. Not covered: a table that an attacker fills by
packets alone (entries are put in as root; the kernel then treats them alike).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from in_chain import TUNNEL, UP, WEB4, WEB6, InChain, flows, frame, ip, sends, tcp, udp
from scapy.layers.inet import ICMP

from netchain.model.chain import Chain
from netchain.nft.fill import Facts

pytestmark = pytest.mark.lab
MARK = Facts(tor_uid=0).vpn_mark
TUNNEL4, ENDPOINT, PORT = "10.64.0.2", "198.18.7.1", 51820
# Masquerading alone; and none of the kernel's own multicast listener reports.
BEFORE = """flush ruleset
table inet before {
    chain out { type nat hook postrouting priority srcnat; oifgroup 1 masquerade; }
    chain output { type filter hook output priority 0; udp dport 53 accept; drop; }
}
"""
_MOST = 1 << 20
"""Entries that are still put in within seconds."""


@pytest.fixture
def vpn(shipped: Callable[[str], Chain]) -> Iterator[InChain]:
    with InChain(shipped("vpn-only"), "sys-proxyvm") as qube:
        yield qube


def of_client(vpn: InChain, flags: str = "S") -> list[bytes]:
    """A client's packets, of each kind that may enter the tunnel."""
    _, own4, own6 = vpn.client()
    ports = ((own4, WEB4), (own6, WEB6))
    made = [make(own, web, port) for own, web in ports for make in (tcp, udp) for port in (53, 443)]
    made += [tcp(own, web, 443, flags=flags) for own, web in ports]
    return [*made, frame(ip(own4, WEB4) / ICMP(id=7))]


def into_tunnel(vpn: InChain) -> None:
    vpn.ip(f"route replace 0.0.0.0/0 dev {TUNNEL}", f"route replace ::/0 dev {TUNNEL}")


def test_flows_from_before_the_rules_go_nowhere(vpn: InChain) -> None:
    """They left in clear, were answered, and have their NAT: all that is forgotten or dropped."""
    vif, own4, own6 = vpn.client()
    up4, up6 = (str(own) for own, _ in vpn.uplink_ends)
    vpn.nft(BEFORE)
    vpn.tunnel_breaks()
    own = vpn.socket("udp", mark=0)
    for web, mine in ((WEB4, up4), (WEB6, up6)):
        client = own4 if web == WEB4 else own6
        for packet in (tcp(client, web, 443), udp(client, web, 443)):
            assert list(vpn.probe(packet, vif)) == [UP]
        for answer in (tcp(web, mine, 40000, 443, flags="SA"), udp(web, mine, 40000, 443)):
            assert list(vpn.probe(answer, UP)) == [vif]
    assert sends(own, (WEB4, 53)) and list(vpn.seen()) == [UP]
    vpn.nft("delete table inet before\n" + vpn.text)
    into_tunnel(vpn)
    for packet in of_client(vpn, "A"):
        assert all(flow[1] != up4 for flow in flows(vpn.probe(packet, vif).pop(TUNNEL, [])))
    vpn.tunnel_breaks()
    for packet in of_client(vpn, "A"):
        assert vpn.probe(packet, vif) == {}
    for web, mine in ((WEB4, up4), (WEB6, up6)):
        for answer in (tcp(web, mine, 40000, 443, flags="A"), udp(web, mine, 40000, 443)):
            assert vpn.probe(answer, UP) == {}
    assert not sends(own, (WEB4, 53))
    assert vpn.seen() == {}


OTHERS = f"""table inet other {{
    chain marks {{
        type filter hook prerouting priority -150
        iifgroup 2 meta mark set {MARK:#x} ct mark set {MARK:#x}
    }}
    chain back {{ type filter hook prerouting priority -149; meta mark set ct mark; }}
    chain quiet {{ type filter hook output priority 0; icmpv6 type mld2-listener-report drop; }}
}}
"""
ZONES = """table inet other {
    chain zones { type filter hook prerouting priority -300; iifgroup 2 ct zone set 7; }
}
"""


def test_a_mark_like_the_vpns_on_a_clients_flow_leads_nowhere(vpn: InChain) -> None:
    """As a split tunnel marks flows, with a rule of the routes that obeys it."""
    vif, _, _ = vpn.client()
    vpn.nft(OTHERS)
    for own, gateway in vpn.uplink_ends:
        family = f"-{own.version}"
        everywhere = "0.0.0.0/0" if own.version == 4 else "::/0"
        vpn.run("ip", family, "rule", "add", "fwmark", hex(MARK), "lookup", "51")
        way = ("via", str(gateway), "dev", UP, "onlink", "table", "51")
        vpn.run("ip", family, "route", "add", everywhere, *way)
    for packet in of_client(vpn):
        assert vpn.probe(packet, vif) == {}
    vpn.nft("delete table inet netchain\n")
    came = [set(vpn.probe(packet, vif)) for packet in of_client(vpn)]
    assert came == [{UP}] * len(came)


def test_flows_in_another_zone_get_no_answers_and_no_other_way(vpn: InChain) -> None:
    vif, own4, _ = vpn.client()
    vpn.nft(ZONES)
    [out] = flows(vpn.probe(udp(own4, WEB4, 443), vif)[TUNNEL])
    assert out[1] == TUNNEL4
    assert vpn.probe(udp(WEB4, TUNNEL4, out[2], 443), TUNNEL) == {}
    vpn.tunnel_breaks()
    for packet in of_client(vpn, "A"):
        assert vpn.probe(packet, vif) == {}


FILL = r"""
import socket, struct, sys
def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
def tuple_(kind, one, other, sport, dport):
    ip = attr(0x8001, attr(1, one) + attr(2, other))
    proto = attr(1, b"\x11") + attr(2, struct.pack(">H", sport)) + attr(3, struct.pack(">H", dport))
    return attr(0x8000 | kind, ip + attr(0x8002, proto))
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
kernel.bind((0, 0))
rest = attr(3, struct.pack(">I", 0xE)) + attr(7, struct.pack(">I", 600))
def message(n):
    one, other = struct.pack(">I", 0x0A400000 + n // 60000), b"\xc6\x33\x64\x50"
    port = 1024 + n % 60000
    body = struct.pack("=BBH", 2, 0, 0) + tuple_(1, one, other, port, 9)
    body += tuple_(2, other, one, 9, port) + rest
    return struct.pack("=IHHII", 16 + len(body), 0x100, 0x401, n, 0) + body
for start in range(0, int(sys.argv[1]), 500):
    kernel.send(b"".join(message(n) for n in range(start, start + 500)))
"""
"""Puts assured UDP flows into the table: linux/netfilter/nfnetlink_conntrack.h."""


def number(vpn: InChain, name: str) -> int:
    return int(vpn.run("cat", f"/proc/sys/net/netfilter/nf_conntrack_{name}"))


def test_a_full_flow_table_lets_nothing_out(vpn: InChain) -> None:
    """What is new is dropped by the kernel before any accept; what was open keeps its way."""
    vif, own4, _ = vpn.client()
    room = number(vpn, "max")
    if room > _MOST:
        pytest.skip(f"a table for {room} flows takes too long to fill")
    before = udp(own4, WEB4, 7777)
    assert list(vpn.probe(before, vif)) == [TUNNEL]
    answer = udp(WEB4, TUNNEL4, 40000, 7777)
    assert list(vpn.probe(answer, TUNNEL)) == [vif]
    python = str(Path(sys.executable).resolve())
    vpn.run(python, "-I", "-c", FILL, str(room + 1000))
    assert number(vpn, "count") >= room
    for packet in of_client(vpn):
        assert vpn.probe(packet, vif) == {}
    assert not sends(vpn.socket("udp", mark=0), (WEB4, 53))
    assert not sends(vpn.socket("udp", mark=MARK), (WEB4, 53))
    assert set(vpn.probe(before, vif)) <= {TUNNEL}
    vpn.tunnel_breaks()
    for packet in (*of_client(vpn), *of_client(vpn, "A"), before):
        assert vpn.probe(packet, vif) == {}
    assert vpn.seen() == {}

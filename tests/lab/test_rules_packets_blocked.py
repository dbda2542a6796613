"""blocked.nft over every role, and rules replaced while packets flood in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from in_chain import STRAY, UP, WEB4, InChain, connects, frame, ip, sends, tcp, udp
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from netchain.model.chain import Chain
from netchain.resources import data_dir

pytestmark = pytest.mark.lab

BLOCKED = (data_dir() / "firewall_rules" / "blocked.nft").read_text(encoding="utf-8")
OPEN = "delete table inet netchain_blocked"


@dataclass(frozen=True)
class Alive:
    """A packet that an open qube passes or answers, and where something comes out then."""

    qube: str
    into: str
    packet: bytes
    out: str


ALIVE = [
    Alive("sys-net", "vif11.0", udp("10.137.0.12", "198.18.7.1", 51820), UP),
    Alive("sys-firewall", "vif12.0", udp("10.137.0.12", "198.18.7.1", 51820), UP),
    Alive("sys-proxyvm", "vif13.0", tcp("10.137.0.13", WEB4, 9001), "wg0"),
    Alive("sys-whonix", "vif14.0", tcp("10.137.0.14", WEB4, 443), "vif14.0"),
]


@pytest.fixture(params=ALIVE, ids=lambda alive: alive.qube)
def alive(request: pytest.FixtureRequest, chain: Chain) -> Iterator[tuple[InChain, Alive]]:
    with InChain(chain, request.param.qube) as qube:
        assert list(qube.probe(request.param.packet, request.param.into)) == [request.param.out]
        yield qube, request.param


def test_blocked_passes_nothing_and_opening_restores(alive: tuple[InChain, Alive]) -> None:
    qube, sample = alive
    gateway6 = str(qube.uplink_ends[1][1])
    own6 = str(qube.uplink_ends[1][0])
    solicitation = frame(
        IPv6(src=gateway6, dst=own6, hlim=255)
        / ICMPv6ND_NS(tgt=own6)
        / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:02")
    )
    assert UP in qube.probe(solicitation, UP)
    listening = qube.socket("udp", bind=("127.0.0.1", 7))
    for _ in range(2):  # loaded again while it stands
        qube.nft(BLOCKED)
        for link in (UP, STRAY, *qube.links):
            for packet in (sample.packet, solicitation, tcp(WEB4, str(qube.own4), 22),
                           frame(ip(WEB4, str(qube.own4)) / ICMP())):  # fmt: skip
                assert qube.probe(packet, link) == {}
        for kind in ("udp", "udp6"):
            there = "::ffff:203.0.113.80" if kind == "udp6" else WEB4
            assert not sends(qube.socket(kind, mark=28259), (there, 53))
        assert not sends(qube.socket("udp", mark=28259), ("198.18.7.1", 51820))
        connects(qube.socket("tcp"), (WEB4, 9001))
        assert qube.seen() == {}
    assert sends(qube.socket("udp"), ("127.0.0.1", 7), b"inside")
    assert listening.recv(9) == b"inside"
    qube.nft(OPEN)
    assert list(qube.probe(sample.packet, sample.into)) == [sample.out]


def test_blocked_ends_open_flows_too(chain: Chain) -> None:
    with InChain(chain, "anon-whonix") as qube:
        asking = qube.socket("udp")
        assert sends(asking, ("10.137.0.13", 53))
        assert list(qube.seen()) == [UP]
        qube.nft(BLOCKED)
        assert not sends(asking, ("10.137.0.13", 53))
        answer = udp("10.137.0.13", "10.137.0.14", asking.getsockname()[1], 53)
        assert qube.probe(answer, UP) == {}
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(99)
        qube.nft(OPEN)
        assert sends(asking, ("10.137.0.13", 53))


def test_blocked_works_without_a_role_and_over_a_sleeping_table(chain: Chain) -> None:
    with InChain(chain, "sys-firewall") as qube:
        qube.nft("add table inet netchain_blocked { flags dormant; }")
        qube.nft(BLOCKED + "delete table inet netchain")
        assert qube.probe(ALIVE[1].packet, ALIVE[1].into) == {}
        assert not sends(qube.socket("udp"), (WEB4, 53))


def test_fragments_are_not_put_together(alive: tuple[InChain, Alive]) -> None:
    """Neither before the ports are read nor at all."""
    qube, sample = alive
    whole = Ether(sample.packet).payload
    pieces = fragment(IP(src=whole.src, dst=whole.dst) / UDP(dport=51820) / bytes(1400), 600)
    for piece in (*pieces, *reversed(pieces)):
        assert qube.probe(frame(piece), sample.into) == {}
    assert qube.met("fragments, source routes and other options, unused protocols") == 6


FLOODS = {
    "role, over and over": "nft -f {role}",
    "blocked, over and over": "nft -f {blocked}",
    "role under blocked": "nft -f {role}; nft -f {blocked}",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_no_packet_gets_by_while_rules_are_replaced(
    chain: Chain, flood: str, tmp_path: Path
) -> None:
    """The VPN qube with its default route on the uplink: a moment without rules would show."""
    role, blocked = tmp_path / "role.nft", tmp_path / "blocked.nft"
    with InChain(chain, "sys-proxyvm") as vpn:
        role.write_text(vpn.text)
        blocked.write_text(BLOCKED)
        vif, own4, own6 = vpn.client()
        if flood != "role, over and over":
            vpn.nft(BLOCKED)
        vpn.tunnel_breaks()
        frames = cycle([tcp(own4, WEB4, 443), udp(own4, "198.18.7.1", 51820), udp(own6, "::9", 53)])
        step = FLOODS[flood].format(role=role, blocked=blocked)
        vpn.start(f"i=0; while [ $i -lt 60 ]; do {step}; i=$((i+1)); done")
        sent = 0
        while not vpn.ended():
            for _ in range(500):
                vpn.send(next(frames), vif)
            sent += 500
            assert vpn.seen() == {}
        assert sent
        vpn.run("nft", "flush", "ruleset")  # the control: without rules the same packets come out
        assert UP in vpn.probe(tcp(own4, WEB4, 443), vif)


def test_masquerading_goes_on_while_its_rules_are_replaced(chain: Chain, tmp_path: Path) -> None:
    """Each packet is a flow of its own; it leaves with the uplink's address or not at all."""
    role = tmp_path / "role.nft"
    with InChain(chain, "sys-net") as net:
        role.write_text(net.text)
        net.start(f"i=0; while [ $i -lt 60 ]; do nft -f {role}; i=$((i+1)); done")
        port, passed = 1024, 0
        while not net.ended():
            for _ in range(200):
                port = port + 1 if port < 65535 else 1024
                net.send(udp("10.137.0.12", "198.18.7.1", 51820, sport=port), "vif11.0")
            frames = net.seen()
            assert frames.keys() <= {UP}
            sources = {frame[26:30] for frame in frames.get(UP, [])}
            assert sources <= {bytes([100, 64, 0, 2])}
            passed += len(frames.get(UP, []))
        assert passed

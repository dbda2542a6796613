"""Flows that were open before the rules came are not carried on, whatever conntrack remembers."""

from __future__ import annotations

import socket

import pytest
from in_chain import TUNNEL, UP, WEB4, InChain, flows, frame, ip, layers, sends, tcp, udp
from scapy.layers.inet import TCP

from netchain.model.chain import Chain
from netchain.nft.fill import Facts

pytestmark = pytest.mark.lab

# No rules but conntrack; and none of the kernel's own multicast listener reports.
TRACKING = """flush ruleset
table inet tracking {
    chain forward { type filter hook forward priority 0; ct state new,established accept; }
    chain input { type filter hook input priority 0; ct state new,established accept; }
    chain output { type filter hook output priority 0; ct state new,established accept; drop; }
}
"""
NET, FIREWALL, VPN, TOR, ANON = (f"10.137.0.{n}" for n in range(10, 15))
ENDPOINT, PORT = "198.18.7.1", 51820


def met(qube: InChain, data: bytes, link: str) -> set[str]:
    """The rules that a frame met; nothing may come out."""
    before = qube.counted()
    assert qube.probe(data, link) == {}
    return set(qube.counted() - before)


FORWARDED = [
    ("sys-firewall", UP, "vif12.0", ENDPOINT, VPN,
     "to_uplink: a flow that was opened from upstream",
     "to_downstream: nobody may open a flow from upstream"),
    ("sys-net", UP, "vif11.0", ENDPOINT, VPN,
     "to_uplink: a flow that was opened from the uplink", ""),
    ("sys-proxyvm", TUNNEL, "vif13.0", WEB4, TOR,
     "into_tunnel: a flow that was opened from the tunnel", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "outer", "vif", "outside", "inside", "up", "down"), FORWARDED, ids=lambda value: value
)
def test_a_flow_opened_from_outside_is_not_answered(
    chain: Chain, name: str, outer: str, vif: str, outside: str, inside: str, up: str, down: str
) -> None:
    opened = udp(outside, inside, 40000, PORT)
    answer = udp(inside, outside, PORT, 40000)
    if inside == TOR:  # who may send nothing but TCP
        opened, answer = tcp(outside, inside, 1, 2), tcp(inside, outside, 2, 1, flags="SA")
    with InChain(chain, name) as qube:
        qube.nft(TRACKING)
        assert list(qube.probe(opened, outer)) == [vif]
        assert list(qube.probe(answer, vif)) == [outer]
        qube.nft("delete table inet tracking\n" + qube.text)
        assert up in met(qube, answer, vif)
        assert not down or down in met(qube, opened, outer)


def accepted(
    qube: InChain, own: str, port: int, client: str, link: str
) -> tuple[socket.socket, bytes]:
    """A connection that somebody opened to a program of the qube, before the rules.

    Also what that somebody says next.
    """
    server = qube.socket("tcp", bind=(own, port), listen=True)
    qube.nft(TRACKING)
    [answer] = qube.probe(tcp(client, own, port, seq=100), link)[link]
    ack = layers(answer)[TCP].seq + 1
    qube.send(tcp(client, own, port, flags="A", seq=101, ack=ack), link)
    connection, _ = server.accept()
    qube.nft("delete table inet tracking\n" + qube.text)
    said = ip(client, own) / TCP(sport=40000, dport=port, flags="PA", seq=101, ack=ack) / b"hello"
    return connection, frame(said)


@pytest.mark.parametrize("name", ["sys-whonix", "anon-whonix", "sys-proxyvm"])
def test_a_connection_opened_from_upstream_is_not_served(chain: Chain, name: str) -> None:
    with InChain(chain, name, Facts(tor_uid=0)) as qube:
        own, netvm = (str(address) for address in qube.uplink_ends[0])
        peer = ENDPOINT if name == "sys-proxyvm" else netvm
        port = 9050
        connection, said = accepted(qube, own, port, peer, UP)
        with connection:
            connection.send(b"secret")
            assert qube.seen() == {}
            rules = met(qube, said, UP)
            assert any("nobody may open" in rule or "not the endpoint" in rule for rule in rules)


def test_the_vpns_socket_does_not_carry_on_a_flow_of_its_server(chain: Chain) -> None:
    with InChain(chain, "sys-proxyvm") as qube:
        sock = qube.socket("udp", mark=28259, bind=(VPN, 1234))
        qube.nft(TRACKING)
        assert qube.probe(udp(ENDPOINT, VPN, 1234, PORT), UP) == {}
        assert sock.recv(99) == b"hello to whom"
        qube.nft("delete table inet tracking\n" + qube.text)
        assert not sends(sock, (ENDPOINT, PORT))
        assert "input_uplink: nobody may open a flow from upstream" in met(
            qube, udp(ENDPOINT, VPN, 1234, PORT), UP
        )
        fresh = qube.socket("udp", mark=28259, bind=(VPN, 1235))
        assert sends(fresh, (ENDPOINT, PORT))
        assert flows(qube.seen()[UP]) == [("udp", VPN, 1235, ENDPOINT, PORT)]

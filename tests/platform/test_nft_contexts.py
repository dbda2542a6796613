"""libnftables: a context belongs to a namespace; names of interfaces, numbers of interfaces."""

from __future__ import annotations

import socket

import pytest
from wires import Net, Rules, join, send_udp, udp_socket

from netchain.backends.netns import syscalls

_TABLE = """table inet netchain {
    chain input { type filter hook input priority filter; policy accept;
        %s counter comment "seen"
    }
}"""


def test_a_context_stays_where_it_was_made() -> None:
    """nft_worker.py keeps one context a namespace, and uses it from wherever it stands."""
    home, away = Net(), Net()
    with home:
        kept = Rules()
    syscalls.setns(away.fd, syscalls.CLONE_NEWNET)
    kept.load(_TABLE % "")
    assert "table inet netchain" in kept.listing()
    assert Rules().listing() == "", "the table is where the process stands"
    with home:
        assert Rules().listing() == kept.listing() != ""


def test_a_context_made_after_setns_belongs_to_the_new_namespace() -> None:
    """nft_worker._context enters a node's namespace just to make its context there."""
    first, second = Net(), Net()
    with first:
        one = Rules()
        with second:
            other = Rules()
        other.load(_TABLE % "")
        assert (one.listing(), "netchain" in other.listing()) == ("", True)


@pytest.mark.parametrize("key", ["iif", "oif"])
def test_a_number_of_a_missing_interface_is_refused(key: str) -> None:
    """Rules are loaded before any link: nft/check.py (E084) wants no iif and no oif."""
    rules = Rules()
    assert "Interface does not exist" in rules.refusal(_TABLE % f'{key} "eth0"')
    assert rules.listing() == ""


@pytest.mark.parametrize("match", ['iifname "eth0"', "iifgroup 1"])
def test_names_and_groups_of_missing_interfaces_count_from_the_first_packet(match: str) -> None:
    """operations.do_create loads a node's rules before it has any link."""
    net, far = Net(), Net()
    with net:
        rules = Rules()
    rules.load(_TABLE % f"{match} udp dport 7000")
    join(net, "eth0", far, "vif0")
    net.ip("link set eth0 group 1", "addr add 192.0.2.1/24 dev eth0")
    far.ip("addr add 192.0.2.2/24 dev vif0")
    with net:
        sock = udp_socket("192.0.2.1", 7000)
    with sock, far:
        send_udp("192.0.2.1", 7000)
        sock.recv(100)
    assert rules.packets("seen") == 1


def test_a_number_is_another_interface_when_it_is_used_again() -> None:
    """Why nft/check.py (E084) calls `iif` the number of an interface, which another can get."""
    net, far = Net(), Net()
    join(net, "first", far, "peer")
    with net:
        rules = Rules()
        rules.load(_TABLE % 'iif "first"')
    with net:
        index = socket.if_nametoindex("first")
    net.ip("link del first", f"link add second index {index} type veth peer name third")
    with net:
        assert 'iif "second"' in Rules().listing()

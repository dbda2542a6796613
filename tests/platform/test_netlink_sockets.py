"""Netlink sockets belong to a namespace for life; veth pairs are made where they shall be."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from pyroute2.netlink.rtnl import RTMGRP_LINK
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from sandbox import DEADLINE_S, refusal
from wires import Net, make_pair

from netchain.backends.netns import changes, syscalls
from netchain.backends.netns.netlink import Netlink


def test_a_netlink_socket_stays_where_it_was_opened() -> None:
    """netlink.py keeps one socket a node and never changes namespace to use it."""
    home, away = Net(), Net()
    for net in (home, away):
        net.ip("link set lo up")
    syscalls.setns(home.fd, syscalls.CLONE_NEWNET)
    kept = Netlink(home.fd)
    syscalls.setns(away.fd, syscalls.CLONE_NEWNET)
    kept.apply([{"do": "addr", "index": 1, "address": "192.0.2.1/32"}])
    with home, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("192.0.2.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert refusal(lambda: sock.bind(("192.0.2.1", 0))) == "EADDRNOTAVAIL"


def test_both_ends_of_a_pair_are_made_in_other_namespaces() -> None:
    """changes.veth: one message makes the pair; neither end is ever in the maker's namespace.

    (In netchain the maker's namespace is one of the two; here it is a third.)
    """
    maker, one, other = Net(), Net(), Net()
    with maker, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as monitor:
        monitor.bind((0, RTMGRP_LINK))
        monitor.settimeout(DEADLINE_S)
        make_pair(one, "eth0", other, "vif7.0", maker)
        maker.netlink.apply([{"do": "link", "index": 1}])  # lo comes up: the monitor hears this
        data = monitor.recv(1 << 16)
    names = {message.get_attr("IFLA_IFNAME") for message in MarshalRtnl().parse(data)}
    assert names == {"lo"}, "an end was seen in the maker's namespace"
    assert (maker.links(), one.links(), other.links()) == (
        {"lo"}, {"lo", "eth0"}, {"lo", "vif7.0"},
    )  # fmt: skip


def test_a_monitor_would_see_an_end_that_passes_through() -> None:
    """The control of the test above: an end that is made here and moved is seen here."""
    maker, other = Net(), Net()
    with maker, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as monitor:
        monitor.bind((0, RTMGRP_LINK))
        monitor.settimeout(DEADLINE_S)
        maker.ip("link add near type veth peer name far")
        maker.ip(f"link set far netns /proc/{os.getpid()}/fd/{other.fd}")
        names: set[str] = set()
        while "far" not in names:
            names |= {m.get_attr("IFLA_IFNAME") for m in MarshalRtnl().parse(monitor.recv(1 << 16))}
    assert other.links() == {"lo", "far"}


def test_ends_get_the_index_and_the_mac_that_they_are_given() -> None:
    """operations.do_wire chooses the index beforehand: later messages need no look-up by name."""
    one, other = Net(), Net()
    ends = [
        {"netns": net.fd, "name": "eth0", "index": index, "mac": mac}
        for net, index, mac in (
            (one, 4711, "00:16:3e:5e:6c:00"),
            (other, 4712, "fe:ff:ff:ff:ff:ff"),
        )
    ]
    one.netlink.apply([changes.veth(*ends)])
    for net, end in zip((one, other), ends, strict=True):
        with net, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            assert socket.if_nametoindex("eth0") == end["index"]
            sock.bind(("eth0", 0))
            assert sock.getsockname()[4].hex(":") == end["mac"]


def test_an_index_that_is_taken_is_refused() -> None:
    """nodes.Node.new_interface counts up; a number used twice must be an error, never another."""
    one, other = Net(), Net()
    ends = [
        {"netns": net.fd, "name": "eth0", "index": 50, "mac": "02:00:00:00:00:01"}
        for net in (one, other)
    ]
    one.netlink.apply([changes.veth(*ends)])
    again = [{**end, "name": "eth1"} for end in ends]
    with pytest.raises(OSError) as caught:
        one.netlink.apply([changes.veth(*again)])
    assert caught.value.errno in (errno.EBUSY, errno.EEXIST), os.strerror(caught.value.errno or 0)
    assert "eth1" not in one.links() | other.links()


def test_messages_of_one_batch_go_on_after_a_refused_one() -> None:
    """netlink.apply sends all in one batch: a refusal in the middle does not stop the rest.

    (The error is raised all the same, and the qube is blocked: apply.py.)
    """
    net = Net()
    changes = [
        {"do": "addr", "index": 1, "address": "192.0.2.1/32"},
        {"do": "addr", "index": 99, "address": "192.0.2.2/32"},
        {"do": "addr", "index": 1, "address": "192.0.2.3/32"},
    ]
    with pytest.raises(OSError, match=r"No such device.*192\.0\.2\.2"):
        net.netlink.apply(changes)
    with net, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("192.0.2.3", 0))

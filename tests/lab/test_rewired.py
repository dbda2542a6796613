"""Links that somebody or something changed behind our back are seen, and mended by the next `up`.

Not covered: the router's end of the uplink; changes that undo themselves before anybody looks.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab
CHANGES = {
    "a link goes down": ("sys-firewall", "ip link set eth0 down"),
    "a link flaps and loses its routes": (
        "sys-firewall", "ip link set eth0 down; ip link set eth0 up",
    ),
    "the netvm's end flaps": ("sys-net", "ip link set vif11.0 down; ip link set vif11.0 up"),
    "a way past the tunnel": (
        "sys-proxyvm", "ip route add default via 10.137.0.11 dev eth0 onlink",
    ),
    "the same for IPv6": (
        "sys-proxyvm", "ip -6 route add default via fd09:24ef:4179::a89:b dev eth0 onlink metric 1",
    ),
    "a table of its own": (
        "sys-proxyvm", "ip route add default via 10.137.0.11 dev eth0 onlink table 77",
    ),
    "the second lock is taken away": ("sys-proxyvm", "ip route del unreachable default"),
    "another address": ("work", "ip addr add 10.137.0.99/32 dev eth0"),
    "another group": ("sys-firewall", "ip link set eth0 group 2"),
    "another neighbour": (
        "work", "ip neigh replace 10.137.0.12 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
    ),
    "a policy rule": ("sys-firewall", "ip rule add from 10.0.0.0/8 lookup 77"),
    "no rule for the main table": ("sys-firewall", "ip -6 rule del pref 32766"),
    "a route that says it is the kernel's": (
        "sys-proxyvm", "ip route add 192.0.2.0/24 dev eth0 proto kernel",
    ),
    "a route to itself": ("work", "ip route add local 192.0.2.0/24 dev lo"),
    "a route without an interface": ("sys-net", "ip route add blackhole 192.0.2.0/24"),
    "an address of loopback": ("work", "ip addr add 192.0.2.1/32 dev lo"),
    "another interface": ("sys-proxyvm", "ip link add other type veth peer name more"),
    "a queueing discipline": ("sys-proxyvm", "tc qdisc add dev eth0 clsact"),
    "a sysctl": ("sys-proxyvm", "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter"),
    "a sysctl of one interface": ("sys-net", "echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra"),
    "forwarding on one interface": ("work", "echo 1 > /proc/sys/net/ipv4/conf/eth0/forwarding"),
    "another table": ("sys-firewall", "nft add table ip netchain"),
    "a rule": ("sys-firewall", "nft insert rule inet netchain forward accept"),
    "an element": (
        "sys-firewall", "nft add element inet netchain self4 '{ 192.0.2.1 }'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_is_seen_and_mended(netchain: Netchain, kept: Path, what: str) -> None:
    qube, words = CHANGES[what]
    netchain.in_network(f"mend:{qube}", "sh", "-ec", words)
    assert netchain("plan", str(kept), "--exit-code").returncode == 20
    told = netchain("status", str(kept), "--json")
    assert told.returncode == 3
    states = json.loads(told.stdout)["qubes"]
    differs = {q["name"]: [d["what"] for d in q["differs"]] for q in states if q["differs"]}
    assert differs.pop(qube)
    assert all(what == ["link"] for what in differs.values())  # of a client: its netvm's end
    done = netchain("up", str(kept))
    assert done.returncode == 0, done.stderr
    assert netchain("plan", str(kept), "--exit-code").returncode == 0
    page = netchain("exec", str(kept), "--", "curl", "-sS", "-m", "10", "http://news.lab/x")
    assert json.loads(page.stdout)["seen_from"] == "198.18.7.1"

"""Links that somebody or something changed behind our back are seen, and mended by the next `up`.

Not covered: policy rules (ip rule), which a qube keeps until it is made anew; the router's end of
the uplink; changes that undo themselves before anybody looks.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab
CHANGES = {
    "a link goes down": ("sys-firewall", "link set eth0 down"),
    "a link flaps and loses its routes": ("sys-firewall", "link set eth0 down; link set eth0 up"),
    "the netvm's end flaps": ("sys-net", "link set vif11.0 down; link set vif11.0 up"),
    "a way past the tunnel": ("sys-proxyvm", "route add default via 10.137.0.11 dev eth0 onlink"),
    "the same for IPv6": (
        "sys-proxyvm", "-6 route add default via fd09:24ef:4179::a89:b dev eth0 onlink metric 1",
    ),
    "a table of its own": (
        "sys-proxyvm", "route add default via 10.137.0.11 dev eth0 onlink table 77",
    ),
    "the second lock is taken away": ("sys-proxyvm", "route del unreachable default"),
    "another address": ("work", "addr add 10.137.0.99/32 dev eth0"),
    "another group": ("sys-firewall", "link set eth0 group 2"),
    "another neighbour": (
        "work", "neigh replace 10.137.0.12 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_is_seen_and_mended(netchain: Netchain, profile: Path, what: str) -> None:
    qube, words = CHANGES[what]
    for line in words.split("; "):
        netchain.in_network(f"mend:{qube}", "ip", *line.split())
    assert netchain("plan", str(profile), "--exit-code").returncode == 20
    told = netchain("status", str(profile), "--json")
    assert told.returncode == 3
    differs = [words for q in json.loads(told.stdout)["qubes"] for words in q["differs"]]
    assert "addresses and routes are not those of the profile" in differs
    done = netchain("up", str(profile))
    assert done.returncode == 0, done.stderr
    assert netchain("plan", str(profile), "--exit-code").returncode == 0
    page = netchain("exec", str(profile), "--", "curl", "-sS", "-m", "10", "http://news.lab/x")
    assert json.loads(page.stdout)["seen_from"] == "198.18.7.1"

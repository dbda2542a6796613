"""A chain that is up, and changes by itself or by hand: `status` tells, the next `up` mends it.

Not covered: neighbours that are gone while the routes are there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from commands import Netchain, until
from machine import alive, descendants
from test_mend import seen_from, steps

pytestmark = pytest.mark.lab


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def test_a_link_that_was_down_is_made_again(netchain: Netchain, profile: Path) -> None:
    """It has lost its routes, at its own end or at the far one, and looks like a link still."""
    for node, interface in (("mend:sys-proxyvm", "eth0"), ("mend:sys-firewall", "vif12.0")):
        for how in ("down", "up"):
            netchain.in_network(node, "ip", "link", "set", interface, how)
        assert steps(netchain, profile).count("attach sys-proxyvm") == 1
        assert seen_from(netchain, profile) == "198.18.7.1"


def test_a_route_that_somebody_added_is_noticed(netchain: Netchain, profile: Path) -> None:
    past = ("route", "add", "192.0.2.0/24", "dev", "eth0")
    netchain.in_network("mend:sys-proxyvm", "ip", *past)
    said = netchain("status", str(profile)).stdout
    assert "addresses and routes are not those of the profile" in said
    assert "attach sys-proxyvm" in steps(netchain, profile)
    assert "192.0.2.0" not in netchain.in_network("mend:sys-proxyvm", "ip", "route")


def test_a_tunnel_that_lost_something_is_made_again(netchain: Netchain, profile: Path) -> None:
    for words in (("link", "set", "wg0", "down"), ("addr", "flush", "dev", "wg0"),
                  ("-6", "addr", "flush", "dev", "wg0"), ("link", "del", "wg0")):  # fmt: skip
        netchain.in_network("mend:sys-proxyvm", "ip", *words)
        assert "start sys-proxyvm" in steps(netchain, profile)
        assert seen_from(netchain, profile) == "198.18.7.1"


def test_a_program_that_was_stopped_and_continued_is_started_again(
    netchain: Netchain, profile: Path
) -> None:
    """What waits for it stays stopped, and would not notice its end."""
    network = _network(netchain.holder("mend:sys-proxyvm"))
    found = descendants(netchain.keeper())
    (pid,) = [p for p in found if _name(p) == "wireguard-go" and _network(p) == network]
    os.kill(pid, signal.SIGSTOP)
    assert until(lambda: "wireguard is not running" in netchain("status", str(profile)).stdout, 5)
    os.kill(pid, signal.SIGCONT)
    assert "start sys-proxyvm" in steps(netchain, profile)
    assert not alive({pid})
    assert seen_from(netchain, profile) == "198.18.7.1"

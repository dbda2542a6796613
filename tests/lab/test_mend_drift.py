"""A tunnel that lost something and a program that was stopped: seen, and mended by the next `up`.

Not covered: a VPN in the kernel.
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
    assert until(lambda: "wireguard: not running" in netchain("status", str(profile)).stdout, 5)
    os.kill(pid, signal.SIGCONT)
    assert "start sys-proxyvm" in steps(netchain, profile)
    assert not alive({pid})
    assert seen_from(netchain, profile) == "198.18.7.1"

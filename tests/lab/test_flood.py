"""Reloading a VPN qube's rules under a flood, its tunnel dead: nothing on its uplink.

The second lock is taken away first (a default route past the tunnel), so only the rules hold.
Not covered: other kernels (the race of `policy drop` during a replacement was measured on 6.18).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from netchain import apply
from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.demo.control import OPEN_RULES
from netchain.model import profile
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, UPLINK, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.wire import build
from netchain.wire.tap import Tap

pytestmark = pytest.mark.lab
RELOADS, RATE = 500, 10_000
ROOT = Path(__file__).resolve().parents[2]
FIREWALL, PROXY, WHONIX = map(QubeName, ("sys-firewall", "sys-proxyvm", "sys-whonix"))


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NetnsBackend]:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    keeper = KeeperClient.start("flood")
    yield NetnsBackend(keeper, "flood:router")
    keeper.close()
    starter.kill("flood")


def flood(sender: socket.socket, frame: bytes) -> int:
    """Send the frame without end, in a process of its own; its PID."""
    pid = os.fork()
    if pid == 0:
        while True:
            sender.send(frame)
    return pid


def test_nothing_leaves_while_rules_are_reloaded(
    backend: NetnsBackend, resolve: Callable[[Chain], Chain]
) -> None:
    path = ROOT / "profiles" / "vpn-before-tor.toml"
    chain = resolve(profile.parse(path.read_text(), path.name))
    texts = apply.rule_texts(chain, backend)
    for name in (FIREWALL, PROXY, WHONIX):
        backend.create(chain, name)
        backend.load_rules(chain, name, texts[name])
    for name in (PROXY, WHONIX):
        backend.attach(chain, name)
        backend.unblock(chain, name)
    via = str(address4(chain, FIREWALL))
    route = [
        "ip",
        "route",
        "replace",
        "default",
        "via",
        via,
        "dev",
        UPLINK,
        "onlink",
        "metric",
        "1",
    ]
    assert backend.execute(chain, PROXY, route).status == 0
    below, above = Link(WHONIX, PROXY), Link(PROXY, FIREWALL)
    packet = build.udp(address4(chain, WHONIX), IPv4Address("198.51.100.80"), 4000, 80, b"flood")
    frame = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    sender = backend.injector(chain, below, Direction.UP)
    with Tap(backend.taps(chain, [above]), memory_limit=64 << 20) as tap:
        sent = _sent(backend, chain)
        start = time.monotonic()
        pid = flood(sender, frame)
        try:
            reloads = 0
            while reloads < RELOADS or time.monotonic() - start < 3:
                backend.load_rules(chain, PROXY, texts[PROXY])
                reloads += 1
            seconds = time.monotonic() - start
            rate = (_sent(backend, chain) - sent) / seconds
            assert rate >= RATE
            assert tap.frames() == []
            assert tap.failed is None and not tap.dead and not any(tap.drops().values())
            backend.load_rules(chain, PROXY, OPEN_RULES)  # the control: the same flood comes out
            assert not tap.wait_for(b"flood", [above.name], 10)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            sender.close()


def _sent(backend: NetnsBackend, chain: Chain) -> int:
    """Packets that have left sys-whonix, by the kernel's own count."""
    path = f"/sys/class/net/{UPLINK}/statistics/tx_packets"
    return int(backend.execute(chain, WHONIX, ["cat", path]).stdout)

"""Reloading a VPN qube's rules under a flood, its tunnel dead: nothing on its uplink.

The second lock is taken away first (a default route past the tunnel), so only the rules hold.
Not covered: other kernels (the race of `policy drop` during a replacement was measured on 6.18).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.demo.control import OPEN_RULES
from netchain.model import profile
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, UPLINK, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.wanted import rule_texts
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
    texts = rule_texts(chain, backend)
    _build(backend, chain, texts)
    above = Link(PROXY, FIREWALL)
    # What sys-whonix may send: only `forward` can stop it, whose chains are being replaced.
    packet = build.tcp_syn(address4(chain, WHONIX), IPv4Address("198.51.100.80"), 4000, 80)
    frame = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    sender = backend.injector(chain, Link(WHONIX, PROXY), Direction.UP)
    with Tap(backend.taps(chain, [above]), memory_limit=64 << 20) as tap:
        pid = flood(sender, frame)
        try:
            assert _reload(backend, chain, texts[PROXY]) >= RATE
            assert tap.frames() == []
            assert tap.failed is None and not tap.dead and not any(tap.drops().values())
            backend.load_rules(chain, PROXY, OPEN_RULES)  # the control: the same flood comes out
            assert not tap.wait_for(packet[16:24], [above.name], 10)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            sender.close()


def _build(backend: NetnsBackend, chain: Chain, texts: Mapping[QubeName, str]) -> None:
    for name in (FIREWALL, PROXY, WHONIX):
        backend.create(chain, name)
        backend.load_rules(chain, name, texts[name])
    for name in (PROXY, WHONIX):
        backend.attach(chain, name)
        backend.unblock(chain, name)
    route = f"ip route replace default via {address4(chain, FIREWALL)} dev {UPLINK} onlink metric 1"
    assert backend.execute(chain, PROXY, route.split()).status == 0


def _reload(backend: NetnsBackend, chain: Chain, text: str) -> float:
    """Load the rules over and over, three seconds at least; packets a second meanwhile."""
    sent, start, reloads = _sent(backend, chain), time.monotonic(), 0
    while reloads < RELOADS or time.monotonic() - start < 3:
        backend.load_rules(chain, PROXY, text)
        reloads += 1
    seconds = time.monotonic() - start
    return (_sent(backend, chain) - sent) / seconds


def _sent(backend: NetnsBackend, chain: Chain) -> int:
    """Packets that have left sys-whonix, by the kernel's own count."""
    path = f"/sys/class/net/{UPLINK}/statistics/tx_packets"
    return int(backend.execute(chain, WHONIX, ["cat", path]).stdout)

"""A qube that is removed or whose holder was killed forwards nothing, though taps keep its network.

Not covered: packets that are on their way in that very moment.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from bare_site import bare_chain
from commands import CHAIN, Netchain, until

from netchain.backends.netns.backend import NetnsBackend
from netchain.demo.control import OPEN_RULES
from netchain.errors import NetchainError
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.wire import build

pytestmark = pytest.mark.lab
NET, FIREWALL, PROXY = (QubeName(n) for n in ("sys-net", "sys-firewall", "sys-proxyvm"))
INTO, OUT_OF = Link(PROXY, FIREWALL), Link(FIREWALL, NET)
TARGET = IPv4Address("192.0.2.1")
WAIT_S = 10.0


def remove(backend: NetnsBackend, chain: Chain, state: Path) -> None:  # noqa: ARG001
    backend.remove(chain, FIREWALL)


def kill(backend: NetnsBackend, chain: Chain, state: Path) -> None:
    os.kill(Netchain(state).holder(f"{CHAIN}:{FIREWALL}"), signal.SIGKILL)
    assert until(lambda: FIREWALL not in backend.observe(chain).qubes, WAIT_S)


def comes_out(tap: socket.socket, packet: bytes) -> bool:
    """Wait for the packet on the link; False when there is no such link any more."""
    tap.settimeout(WAIT_S)
    try:
        while packet[28:] not in tap.recv(2048):
            pass
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


@pytest.mark.parametrize("end", [remove, kill])
def test_it_forwards_nothing_though_its_network_is_kept(
    shipped: Callable[[str], Chain], tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch, end: Callable[[NetnsBackend, Chain, Path], None],
) -> None:  # fmt: skip
    chain, state = shipped(CHAIN), tmp_path_factory.mktemp("s")
    packet = build.udp(address4(chain, PROXY), TARGET, 40000, 9, b"through the firewall")
    frame = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    with bare_chain(chain, state, monkeypatch) as backend:
        backend.load_rules(chain, FIREWALL, OPEN_RULES)
        taps = backend.taps(chain, [INTO, OUT_OF])
        sender = backend.injector(chain, INTO, Direction.UP)
        with taps[INTO.name], taps[OUT_OF.name] as beyond, sender:
            sender.send(frame)
            assert comes_out(beyond, packet)
            end(backend, chain, state)
            with pytest.raises(OSError, match=r"(No such device|Network is down)"):
                sender.send(frame)
            assert not comes_out(beyond, packet)
        with pytest.raises(NetchainError):
            backend.injector(chain, INTO, Direction.UP)
        backend.create(chain, FIREWALL)  # at once, with the old name and links
        for name in (FIREWALL, PROXY):
            backend.attach(chain, name)

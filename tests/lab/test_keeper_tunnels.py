"""Tunnels that the keeper makes: at once after their program was stopped or killed, and none that
is only believed to be there.

Not covered: a kernel that speaks WireGuard itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bare_site import bare_site, node
from commands import until

from netchain.backends.base import Service, User
from netchain.backends.netns.backend import start_service
from netchain.backends.netns.client import KeeperClient
from netchain.errors import NetchainError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(Path("/sys/module/wireguard").exists(), reason="no TUN would be made"),
    pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="no TUN"),
]
QUBE = "mine:vpn"
HOLD = Service("wireguard", ("sleep", "1000"), tunnel="wg0")


@pytest.fixture
def keeper(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeeperClient]:
    with bare_site(tmp_path_factory.mktemp("s"), monkeypatch) as keeper:
        node(keeper, QUBE, role="vpn-proxy")
        yield keeper


def tunnel(keeper: KeeperClient) -> dict[str, Any]:
    changes = [{"do": "link", "dev": "wg0", "mtu": 1420}]
    return keeper.ask("tunnel", node=QUBE, name="wg0", changes=changes, tun_flags=0)


def program(keeper: KeeperClient) -> int:
    """PID of the program of the service, as the keeper's namespace numbers it; 0 without one."""
    found = keeper.ask("observe", prefix=QUBE)["nodes"][QUBE]["services"]
    return int(found["wireguard"]["pid"]) if found["wireguard"]["running"] else 0


def inside(keeper: KeeperClient, *words: str) -> str:
    done = keeper.execute(QUBE, words, b"", 20, User.ROOT)
    assert done.status == 0, done.stderr
    return done.stdout.decode()


def test_a_tunnel_is_made_again_at_once_after_its_program_was_stopped(keeper: KeeperClient) -> None:
    for _ in range(10):
        assert tunnel(keeper) == {"kernel": False}
        start_service(keeper, QUBE, HOLD)
        assert until(lambda: program(keeper) > 0, 20)
        keeper.ask("stop_service", node=QUBE, name="wireguard")
        keeper.ask("remove_tunnel", node=QUBE, name="wg0")
    assert tunnel(keeper) == {"kernel": False}
    assert "mtu 1420" in inside(keeper, "ip", "link", "show", "wg0")


def test_a_tunnel_that_could_not_be_made_is_not_believed_to_be_there(keeper: KeeperClient) -> None:
    inside(keeper, "ip", "link", "add", "wg0", "type", "veth", "peer", "name", "other")
    with pytest.raises(NetchainError, match="Invalid argument"):
        tunnel(keeper)
    assert keeper.ask("observe", prefix=QUBE)["nodes"][QUBE]["services"] == {}
    inside(keeper, "ip", "link", "del", "wg0")
    assert tunnel(keeper) == {"kernel": False}
    assert "wg0" in inside(keeper, "ip", "link", "show", "wg0")

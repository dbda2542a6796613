"""A taken port, a VPN server that is silent, a rule loader that is killed: told, closed, mended.

In the lab that all tests share. Not covered: libnftables aborting by itself (kill -9 stands for
it).
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from commands import CHAIN, Netchain, until

from netchain.backends.netns import rpc
from netchain.backends.netns.client import KeeperClient

pytestmark = pytest.mark.lab
QUBES = ("sys-net", "sys-firewall", "sys-proxyvm", "sys-whonix", "anon-whonix")


@pytest.fixture(scope="module")
def lab(netchain: Netchain) -> Iterator[Netchain]:
    done = netchain("lab", "up")
    assert done.returncode == 0, done.stderr
    yield netchain
    netchain("down")


@pytest.fixture
def up(lab: Netchain) -> Netchain:
    done = lab("up")
    assert done.returncode == 0, done.stderr
    return lab


@pytest.fixture
def keeper(lab: Netchain, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeeperClient]:
    """The keeper's own operations, for what no command does."""
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(lab.state))
    client = KeeperClient("lab")
    yield client
    client.close()


def states(netchain: Netchain) -> dict[str, str]:
    document = json.loads(netchain("status", "--json").stdout)
    return {qube["name"]: qube["state"] for qube in document["qubes"]}


def test_a_taken_port_is_told_in_tors_own_words(up: Netchain, keeper: KeeperClient) -> None:
    keeper.ask("stop_service", node=f"{CHAIN}:sys-whonix", name="tor")
    listen = """
import socket, time
end = time.monotonic() + 10
while True:
    try:
        listening = socket.create_server(("0.0.0.0", 9050))
        break
    except OSError:  # tor is ending
        assert time.monotonic() < end
        time.sleep(0.02)
print("listening", flush=True)
time.sleep(600)
"""
    other = up.begin("exec", f"{CHAIN}:sys-whonix", "--", "/usr/bin/python3", "-c", listen)
    try:
        assert other.stdout and other.stdout.readline() == "listening\n"
        done = up("up", "--timeout", "2")
    finally:
        other.terminate()
        other.communicate(timeout=20)
    assert done.returncode == 3, done.stderr
    assert "error[E061]: sys-whonix is not ready after 2 s" in done.stderr
    assert "tor says: Could not bind to" in done.stderr
    assert ":9050: Address already in use" in done.stderr
    assert "left closed" in done.stderr
    assert states(up)["sys-whonix"] == states(up)["anon-whonix"] == "blocked"
    assert up.page() == ""
    assert up("up").returncode == 0
    assert "seen_from" in up.page()


def test_a_silent_vpn_server_is_told_with_what_was_sent(lab: Netchain) -> None:
    assert lab("down").returncode == 0
    drop = "table inet silent { chain i { type filter hook input priority 0; policy drop; }; }"
    lab.in_network("lab:provider-a", "nft", drop)
    try:
        done = lab("up", "--timeout", "1")
    finally:
        lab.in_network("lab:provider-a", "nft", "delete table inet silent")
    assert done.returncode == 3, done.stderr
    said = "sys-proxyvm is not ready after 1 s (waiting for a handshake with 198.18.7.1:51820)"
    assert f"error[E061]: {said}\n" in done.stderr
    assert "bytes went to the VPN server, 0 came back" in done.stderr
    assert states(lab)["anon-whonix"] == "blocked"
    assert lab.page() == ""
    assert lab("up").returncode == 0


def rules(netchain: Netchain) -> dict[str, str]:
    """What the kernel filters with, in each qube."""
    listing = ("nft", "--stateless", "list", "ruleset")
    return {qube: netchain.in_network(f"{CHAIN}:{qube}", *listing) for qube in QUBES}


def test_a_killed_rule_loader_is_started_again_and_opens_nothing(up: Netchain) -> None:
    before, old = rules(up), up.rule_loader()
    assert all("table inet netchain {" in text for text in before.values())
    os.kill(old, signal.SIGKILL)
    assert until(lambda: up.rule_loader() == 0, 10)
    assert rules(up) == before
    done = up("status", "--json")
    assert json.loads(done.stdout)["verdict"] == "up", done.stdout + done.stderr
    assert up.rule_loader() not in (0, old)
    assert rules(up) == before
    assert json.loads(up("up", "--json").stdout)["steps"] == []
    assert "seen_from" in up.page()


def is_stuck(netchain: Netchain) -> bool:
    """Whether the keeper answers nobody, since it waits for its rule loader."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.5)
        sock.connect(str(netchain.state / "run" / "sites" / "lab" / "keeper.sock"))
        rpc.send(sock, {"do": "hello"})
        try:
            rpc.receive(sock)
        except TimeoutError:
            return True
    return False


def test_a_rule_loader_that_is_killed_at_work_closes_the_chain(lab: Netchain) -> None:
    assert lab("down").returncode == 0
    process = lab.begin("up")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("? await     sys-proxyvm"):
            break
    loader = lab.rule_loader()
    os.kill(loader, signal.SIGSTOP)
    try:
        assert until(lambda: is_stuck(lab), 20)
    finally:
        os.kill(loader, signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert "the rule loader died" in said and "left closed" in said
    assert set(states(lab).values()) == {"blocked"}
    assert all("table inet netchain_blocked {" in text for text in rules(lab).values())
    assert lab.page() == ""
    assert lab("up").returncode == 0
    assert "seen_from" in lab.page()


def test_a_tor_whose_network_is_gone_is_not_called_ready(up: Netchain) -> None:
    """Though tor itself goes on with its 100 %, and the VPN's last handshake is young. The last of
    these tests: for a while tor finds no circuit quickly."""
    assert states(up)["sys-whonix"] == "ready"
    drop = "table inet silent { chain i { type filter hook input priority 0; policy drop; }; }"
    up.in_network("lab:provider-a", "nft", drop)
    try:
        looking, trying = up.begin("status", "--json"), up.begin("up", "--timeout", "1")
        status = json.loads(looking.communicate(timeout=60)[0])
        said = trying.communicate(timeout=60)[1]
    finally:
        up.in_network("lab:provider-a", "nft", "delete table inet silent")
    (tor,) = [qube for qube in status["qubes"] if qube["name"] == "sys-whonix"]
    assert (status["verdict"], tor["state"]) == ("degraded", "degraded")
    assert tor["detail"] == "tor 100 %, but no circuit is built in 10 s"
    assert trying.returncode == 3, said
    assert "sys-whonix is not ready after 1 s (tor 100 %, but no circuit" in said
    assert "Nothing was changed" in said
    assert up("up").returncode == 0
    assert states(up)["sys-whonix"] == "ready"

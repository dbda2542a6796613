"""The computer's own services, at its loopback and at its other addresses, are not reached from a
chain on a real uplink: neither from sys-net nor from the workstation.

Each lock alone, the ones before it opened by the test: the router's list, the helper's own flags,
the host's table. And the control: with that lock opened, too, the same packets arrive.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import until
from stand_in import HOST4, HOST6, INNER4, SECOND4, StandIn, holders
from test_real_uplinks import computer, page, profile, programs, pytestmark, without

__all__ = ["computer", "programs", "pytestmark"]
PORT = 7777
LOOPBACK = ("127.0.0.1", "::1")
OWN = (HOST4, SECOND4, HOST6)
PASTA_GATEWAYS, SLIRP_GATEWAY = ("10.138.1.1", "fd09:24ef:417a:1::1"), "10.138.1.2"
_SEND = f"""
import socket, sys
from threading import Thread
def send(address, kind):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
        s.settimeout(0.5)
        try:
            s.connect((address, {PORT}))
            s.send(address.encode())
        except OSError:
            pass
kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
threads = [Thread(target=send, args=(a, kind)) for a in sys.argv[1:] for kind in kinds]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
_OPEN = """flush ruleset
table inet open {
    chain out {
        type nat hook postrouting priority 100; oifname "eth0" masquerade
    }
}
"""


class Services:
    """TCP and UDP on every address of the computer; what arrived says where it was sent."""

    def __init__(self, computer: StandIn) -> None:
        every = [("AF_INET", "0.0.0.0"), ("AF_INET6", "::")]
        self._sockets = [
            computer.socket(computer.host, family, kind, address, PORT)
            for family, address in every
            for kind in ("SOCK_STREAM", "SOCK_DGRAM")
        ]

    def heard(self) -> set[str]:
        found = set()
        for sock in self._sockets:
            for _ in range(1000):
                try:
                    found.add(self._one(sock))
                except BlockingIOError:
                    break
        return found

    def _one(self, sock) -> str:  # type: ignore[no-untyped-def]
        if sock.type.name == "SOCK_DGRAM":
            return sock.recv(100).decode()
        connection, _ = sock.accept()
        with connection:
            connection.settimeout(2)
            return connection.recv(100).decode() or "a connection"


def send(pid: int, *addresses: str) -> None:
    """From a node of the chain, as its root."""
    enter = ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]
    subprocess.run([*enter, sys.executable, "-I", "-c", _SEND, *addresses], check=True)


def nft(pid: int, text: str) -> str:
    enter = ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]
    return subprocess.run(
        [*enter, "nft", "-f", "-"], input=text, capture_output=True, text=True, check=True
    ).stdout


def node(computer: StandIn, name: str) -> int:
    (pid,) = holders(computer.state, name)
    return pid


def open_sys_net(computer: StandIn) -> int:
    pid = node(computer, "vpn-only:sys-net")
    nft(pid, "flush ruleset")
    return pid


def dropped(pid: int, why: str) -> int:
    """Packets that rules with such a comment have dropped."""
    listing = nft(pid, "list ruleset")
    return sum(
        int(n) for n in re.findall(rf'packets (\d+) bytes \d+ drop comment "{why}"', listing)
    )


def assert_the_workstation_is_kept_away(computer: StandIn, path: Path, services: Services) -> None:
    words = ("exec", str(path), "--", "/usr/bin/python3", "-I", "-c", _SEND)
    done = computer.netchain(*words, *LOOPBACK, *OWN, *PASTA_GATEWAYS, "10.138.2.1")
    assert done.returncode == 0, done.stderr
    assert INNER4 in page(computer, path), "the way that they took works"
    assert services.heard() == set()


def assert_the_router_keeps_away(computer: StandIn, sys_net: int, services: Services) -> None:
    why, router = "this computer's own services", node(computer, ":uplink")
    before = dropped(router, why)
    send(sys_net, *LOOPBACK, *OWN)
    came = dropped(router, why) - before
    assert came >= 2 * len(OWN), "they did not come as far as the router"
    assert services.heard() == set()


def assert_the_hosts_own_table_keeps_away(
    computer: StandIn, sys_net: int, services: Services
) -> None:
    gateways = ("10.138.2.1", "fd09:24ef:417a:2::1")
    why = "the host's own services, whatever address they have"
    before = dropped(computer.host, why)
    send(sys_net, *OWN, *gateways)
    assert dropped(computer.host, why) - before >= 2 * len((*OWN, *gateways))
    assert services.heard() == set()
    nft(computer.host, "flush ruleset")
    heard: set[str] = set()
    send(sys_net, *OWN, *gateways)
    assert until(lambda: heard.update(services.heard()) or len(heard) >= 5, 10), heard


@pytest.mark.parametrize("uplink", ["pasta", "host"])
def test_each_lock_keeps_the_computers_addresses_away(computer: StandIn, uplink: str) -> None:
    """From the workstation with every lock closed; from sys-net with its own one opened, and on the
    host's uplink with the router's, too. (What is behind pasta's router is tested below.)"""
    path = profile(computer, uplink)
    with computer.up(path):
        services = Services(computer)
        assert_the_workstation_is_kept_away(computer, path, services)
        sys_net = open_sys_net(computer)
        assert_the_router_keeps_away(computer, sys_net, services)
        if uplink == "host":
            nft(node(computer, ":uplink"), _OPEN)
            assert_the_hosts_own_table_keeps_away(computer, sys_net, services)


@pytest.mark.parametrize(
    ("program", "flag", "gateways"),
    [("pasta", "--no-map-gw", PASTA_GATEWAYS),
     ("slirp4netns", "--disable-host-loopback", (SLIRP_GATEWAY,))],
)  # fmt: skip
@pytest.mark.parametrize("is_flagged", [True, False])
def test_the_helpers_flag_keeps_the_computers_loopback_away(
    computer: StandIn, programs: Path, program: str, flag: str, gateways: tuple[str, ...],
    is_flagged: bool,
) -> None:  # fmt: skip
    """With the router open. The computer's other addresses are then reached: that is the router's
    work, and shows that the packets came as far as the helper."""
    path_variable = without(programs, "pasta", "slirp4netns")
    (real,) = (
        p for p in (Path("/usr/bin", program), Path("/usr/local/bin", program)) if p.exists()
    )
    if is_flagged:
        (programs / program).symlink_to(real)
    else:
        strip = f'for a; do shift; [ "$a" = {flag} ] || set -- "$@" "$a"; done; exec {real} "$@"'
        (programs / program).write_text(f"#!/bin/sh\n{strip}\n")
        (programs / program).chmod(0o755)
    path = profile(computer, "pasta")
    done = computer.netchain("up", str(path), path=path_variable)
    assert done.returncode == 0, done.stderr
    services = Services(computer)
    sys_net = open_sys_net(computer)
    nft(node(computer, ":uplink"), _OPEN)
    send(sys_net, *gateways, HOST4)
    heard: set[str] = set()
    assert until(lambda: heard.update(services.heard()) or HOST4 in heard, 10)
    send(sys_net, HOST4)
    assert until(lambda: HOST4 in services.heard(), 10)
    assert bool(heard & set(gateways)) is not is_flagged
    assert computer.netchain("down", str(path)).returncode == 0

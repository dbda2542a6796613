"""The sentinel under a flood from the workstation: sys-proxyvm is opened, the chain gets blocked.

Printed (pytest -s): frames of the flood that left sys-proxyvm in clear, and the time from the last
hostile change to the flood's last frame on the workstation's own link.
Not covered: sys-firewall and sys-net opened as well (what left sys-proxyvm met their rules).
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Netchain, until

from netchain.commands import common
from netchain.console import Console
from netchain.demo.control import OPEN_RULES
from netchain.model.allowed import Link
from netchain.model.names import QubeName
from netchain.wire.capture import Captured
from netchain.wire.tap import Tap

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
WORK, PROXY, FIREWALL = map(QubeName, ("work", "sys-proxyvm", "sys-firewall"))
WORD = b"flood of the workstation"
RATE = 2000
FLOOD = f"""
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
due = time.monotonic()
while True:
    due += 1 / {RATE}
    time.sleep(max(0, due - time.monotonic()))
    try:
        sock.sendto({WORD!r}, ("198.51.100.80", 4000))
    except OSError:
        pass
"""
ROUTE = "ip route replace default via 10.137.0.11 dev eth0 onlink metric 1"
OPENINGS = {
    "rules": "nft -f -",
    "a route": ROUTE,
    "a route, then rules": f"{ROUTE}; nft -f -",
    "a policy rule": "ip rule add from all lookup 77",
    "a group": "ip link set eth0 group 3",
    "a sysctl that tells": "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter",
    "a sysctl that does not": "echo 1 > /proc/sys/net/ipv4/conf/eth0/accept_redirects",
}


@contextmanager
def flooded(netchain: Netchain, profile: Path, tap: Tap) -> Iterator[None]:
    process = netchain.begin("exec", str(profile), "--", "/usr/bin/python3", "-c", FLOOD)
    try:
        assert not tap.wait_for(WORD, [Link(WORK, PROXY).name], 20)
        yield
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def guarded(netchain: Netchain, profile: Path) -> Iterator[subprocess.Popen[str]]:
    """The sentinel, once it has said that the chain is up."""
    process = netchain.begin("watch", "--block", "--json", str(profile))
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["event"], first["verdict"]) == ("start", "up")
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def heard(profile: Path) -> Iterator[Tap]:
    """A tap on the workstation's link and on that of sys-proxyvm."""
    found = common.find(str(profile))
    with common.site(found, Console(quiet=True)) as (chain, site):
        links = [Link(WORK, PROXY), Link(PROXY, FIREWALL)]
        tap = Tap(site.backend.taps(chain, links))
        try:
            yield tap
            assert tap.failed is None and not tap.dead and not any(tap.drops().values())
        finally:
            tap.close()


def ours(frames: list[Captured]) -> list[Captured]:
    return [captured for captured in frames if WORD in captured.frame]


@pytest.mark.parametrize("what", OPENINGS)
def test_what_opens_the_vpn_qube_under_a_flood_blocks_the_chain(
    netchain: Netchain, kept: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
    near, far = Link(WORK, PROXY).name, Link(PROXY, FIREWALL).name
    with (
        heard(kept) as tap,
        flooded(netchain, kept, tap),
        guarded(netchain, kept) as watch,
    ):
        enter = ["nsenter", f"--target={netchain.holder('mend:sys-proxyvm')}", "--user", "--net"]
        before = len(ours(tap.frames(near)))
        subprocess.run(
            [*enter, "--preserve-credentials", "sh", "-c", OPENINGS[what]],
            input=OPEN_RULES, text=True, check=True,
        )  # fmt: skip
        changed = time.time_ns()
        out, said = watch.communicate(timeout=30)
        assert watch.returncode == 1
        document = json.loads(out.splitlines()[-1])
        assert document["event"] == "blocked" and document["why"]
        assert all(words.startswith("sys-proxyvm: ") for words in document["why"])
        assert said.splitlines()[-1].startswith("The chain is blocked: work, sys-proxyvm, ")
        assert len(ours(tap.frames(near))) - before < RATE  # the flood ended
        assert until(lambda: _is_silent(tap, near), 10)
    sent = ours(tap.frames(near))
    passed, last = len(ours(tap.frames(far))), (sent[-1].time_ns - changed) / 1e6
    print(f"{what}: {passed} of {len(sent)} frames out in clear; the last was sent {last:.1f} ms"
          f" after the change, blocking took {document['ms']} ms")  # fmt: skip
    states = json.loads(netchain("status", str(kept), "--json").stdout)
    assert {q["state"] for q in states["qubes"]} == {"blocked"}
    if what in ("rules", "a route"):  # the other lock held
        assert passed == 0
    assert netchain("up", str(kept)).returncode == 0
    assert netchain("plan", str(kept), "--exit-code").returncode == 0


def _is_silent(tap: Tap, link: str) -> bool:
    """Whether the workstation's flood has not been heard for 200 frames' time."""
    return time.time_ns() - ours(tap.frames(link))[-1].time_ns > 200 / RATE * 1e9


def test_ctrl_c_ends_the_watch_and_not_the_chain(netchain: Netchain, kept: Path) -> None:
    with guarded(netchain, kept) as watch:
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=30)
        assert (watch.returncode, said) == (130, "Stopped watching: the chain goes on as it is.\n")
    assert netchain("status", str(kept)).returncode == 0


def test_what_only_closes_goes_on(netchain: Netchain, kept: Path) -> None:
    """Blocked one by one, then removed: the sentinel sees the chain go and blocks nothing."""
    with guarded(netchain, kept) as watch:
        assert netchain("down", str(kept)).returncode == 0
        assert watch.stdout is not None
        while json.loads(watch.stdout.readline())["verdict"] != "down":
            pass
        assert watch.poll() is None
    assert netchain("up", str(kept)).returncode == 0


def test_a_lost_keeper_is_told(netchain: Netchain, kept: Path) -> None:
    with guarded(netchain, kept) as watch:
        assert netchain("lab", "down").returncode == 0
        _, said = watch.communicate(timeout=30)
        assert watch.returncode == 1
        assert said.splitlines()[-1] == "The site is gone, and every qube with it: closed."
    assert netchain("lab", "up").returncode == 0

"""Disposables: they work, vanish however they end, share nothing, and leave the chain alone.

Not covered: that a program leaves nothing in files of the machine that it may write to
(docs/known-issues.md).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import CHAIN, Netchain, until
from test_leaktest_probes import attached

from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.site import Site

pytestmark = pytest.mark.lab
GATEWAY = f"{CHAIN}:sys-whonix"
FETCH = "curl -sS -m 20 http://news.lab/x"
PYTHON = str(Path(sys.executable).resolve())
HELD = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), 20) as flow:
    print("open", flush=True)
    sys.stdin.readline()
    flow.sendall(b"GET /held HTTP/1.0\\r\\n\\r\\n")
    print(flow.makefile("rb").read().decode(), flush=True)
"""


def begin(up: Netchain, *words: str) -> subprocess.Popen[str]:
    """Start it with all streams as pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "netchain", *words], env=up.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def living(up: Netchain) -> dict[str, dict[str, Any]]:
    """The disposables that `status` shows, by name."""
    found = json.loads(up("status", "--json").stdout)
    return {q["name"]: q for q in found["qubes"] if q["role"] == "disposable"}


def traces(up: Netchain) -> str:
    """All that the gateway could know of one: rules, links, routes, neighbours."""
    return "".join(
        up.in_network(GATEWAY, *command)
        for command in (("nft", "-s", "list", "ruleset"), ("ip", "-br", "link"), ("ip", "route"),
                        ("ip", "-6", "route"), ("ip", "neigh"))
    )  # fmt: skip


@pytest.fixture
def disposable(up: Netchain) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """One that lives until it gets a line."""
    process = begin(up, "disp", CHAIN, "--", "sh", "-c", "hostname; read line")
    try:
        yield line(process), process
    finally:
        if process.poll() is None:
            process.communicate("\n", timeout=30)


def test_a_command_runs_in_a_fresh_qube_which_is_gone_afterwards(up: Netchain) -> None:
    before = traces(up)
    script = f'hostname; pwd; echo "$HOME"; ls -A; touch left; {FETCH}; exit 7'
    done = up("disp", CHAIN, "--", "sh", "-c", script)
    name, directory, home, *rest = done.stdout.splitlines()
    assert done.returncode == 7, done.stderr
    assert re.fullmatch(r"disp[1-9][0-9]{0,3}", name) and directory == home == "/run/rw"
    assert json.loads(rest[0])["page"] == "/x" and len(rest) == 1  # nothing was there
    assert living(up) == {} and traces(up) == before
    assert up("plan", "--exit-code").returncode == 0
    assert not list((up.state / "chains" / CHAIN).glob("disp*"))


def test_one_that_lives_is_shown_and_is_no_drift(
    up: Netchain, disposable: tuple[str, subprocess.Popen[str]]
) -> None:
    name, _ = disposable
    found = living(up)
    assert list(found) == [name]
    assert (found[name]["state"], found[name]["netvm"]) == ("ready", "sys-whonix")
    assert up("plan", "--exit-code").stdout == "no changes\n"
    assert json.loads(up("status", "--json").stdout)["verdict"] == "up"
    assert "5 of 5 qubes, 1 disposable " in up("ls").stdout


def test_two_live_at_once_and_open_flows_of_others_go_on(up: Netchain) -> None:
    """A workstation's connection is opened before both, and used after both are gone."""
    held = begin(up, "exec", CHAIN, "--", PYTHON, "-c", HELD, "198.51.100.80")
    assert line(held) == "open"
    both = [begin(up, "disp", CHAIN, "--", "sh", "-c", f"hostname; {FETCH}; echo; read line")
            for _ in range(2)]  # fmt: skip
    names = {line(one) for one in both}
    assert [json.loads(line(one))["page"] for one in both] == ["/x", "/x"]
    assert set(living(up)) == names and len(names) == 2
    assert len({one["address"] for one in living(up).values()}) == 2
    for one in both:
        one.communicate("\n", timeout=30)
    assert living(up) == {}
    assert '"page": "/held"' in held.communicate("\n", timeout=30)[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_with_netchain_however_that_ends(up: Netchain, number: signal.Signals) -> None:
    before = traces(up)
    process = begin(up, "disp", CHAIN, "--", "sh", "-c", "hostname; sleep 1000")
    name = line(process)
    assert name in living(up)
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    assert until(lambda: living(up) == {}, 20)
    assert until(lambda: traces(up) == before, 20)
    assert up("plan", "--exit-code").returncode == 0
    pattern = rf"^\[netchain\] {CHAIN}:{name}"
    assert subprocess.run(["pgrep", "-f", pattern], check=False).returncode == 1


def test_killed_while_it_is_made_it_leaves_nothing(up: Netchain) -> None:
    """At moments spread over the time that one takes; none is known beforehand."""
    before = traces(up)
    for tenths in range(1, 9):
        process = begin(up, "disp", CHAIN, "--", "sleep", "1000")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(tenths / 10)
        process.kill()
        process.communicate(timeout=30)
    assert until(lambda: living(up) == {} and traces(up) == before, 30)
    assert up("plan", "--exit-code").returncode == 0
    assert '"page"' in up.page()


class Streams:
    """Which circuits the streams of each client address went to, in tor's own words."""

    def __init__(self, running: tuple[Chain, Site]) -> None:
        chain, site = running
        path = site.backend.volume() / "tor" / "control"
        self._socket = site.backend.connect(chain, QubeName("sys-whonix"), path)
        self._socket.settimeout(20)
        self._socket.sendall(b"AUTHENTICATE\r\nSETEVENTS STREAM\r\n")
        self._heard = b""

    def close(self) -> None:
        self._socket.close()

    def circuits(self) -> dict[str, set[str]]:
        """By address, of all streams until now: GETINFO's answer comes behind their events."""
        self._socket.sendall(b"GETINFO version\r\n")
        while b"250-version" not in self._heard:
            self._heard += self._socket.recv(1 << 16)
        text, self._heard = self._heard.decode(), b""
        clients = dict(
            re.findall(r"650 STREAM (\d+) NEW(?:RESOLVE)? .*SOURCE_ADDR=([0-9.]+):", text)
        )
        found: dict[str, set[str]] = {}
        for stream, circuit in re.findall(r"650 STREAM (\d+) SENT[A-Z]+ (\d+) ", text):
            found.setdefault(clients[stream], set()).add(circuit)
        return found


def test_no_two_disposables_share_a_circuit(
    up: Netchain, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """In turn, to the same place by the same port; the workstation's own fetches do share one."""
    with attached(up, CHAIN, monkeypatch) as running:
        streams = Streams(running)
        request.addfinalizer(streams.close)
        fetch = f"{FETCH} >/dev/null; {FETCH} >/dev/null"
        assert up("exec", CHAIN, "--", "sh", "-c", fetch).returncode == 0
        for _ in range(3):
            assert up("disp", CHAIN, "--", "sh", "-c", fetch).returncode == 0
        found = streams.circuits()
    every = [circuit for circuits in found.values() for circuit in circuits]
    assert len(found) == 4 and len(set(every)) == len(every)
    assert all(len(circuits) >= 2 for circuits in found.values())  # one for names, one for TCP


def test_no_name_and_so_no_address_is_used_twice(up: Netchain) -> None:
    names = [up("disp", CHAIN, "--", "hostname").stdout.strip() for _ in range(3)]
    assert len(set(names)) == 3 and all(names)


def test_a_chain_that_differs_gets_none(up: Netchain) -> None:
    up.in_network(GATEWAY, "nft", "add", "table", "inet", "foreign")
    try:
        done = up("disp", CHAIN, "--", "hostname")
        assert (done.returncode, done.stdout) == (3, "") and "E057" in done.stderr
    finally:
        up.in_network(GATEWAY, "nft", "delete", "table", "inet", "foreign")
    assert up("disp", f"{CHAIN}:nobody", "--", "hostname").returncode == 2


def test_up_ends_it_when_it_must_change_what_is_above(
    up: Netchain, disposable: tuple[str, subprocess.Popen[str]]
) -> None:
    name, process = disposable
    up.in_network(GATEWAY, "nft", "flush", "chain", "inet", "netchain", "forward")
    assert f"- remove    {name}" in up("plan").stdout
    assert up("up").returncode == 0
    process.communicate(timeout=30)
    assert process.returncode == 137
    assert living(up) == {}

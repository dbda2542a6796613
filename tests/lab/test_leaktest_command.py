"""`netchain leaktest` as a person uses it: clean, a leak that was there, and every kind of trouble.

Not covered: real chains (only the lab exists yet), a run of --full (minutes; scripts/bench).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import CHAIN, ROOT, Netchain, until

from netchain.demo.control import OPEN_RULES

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
SCHEMA = json.loads((ROOT / "leaktests" / "report" / "schema.json").read_text())


def leaktest(netchain: Netchain, *words: str) -> tuple[int, dict[str, Any]]:
    done = netchain("leaktest", *words, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def is_up(netchain: Netchain) -> bool:
    return netchain("status").returncode == 0


def test_clean_in_all_states_and_its_control_is_seen(up: Netchain) -> None:
    status, document = leaktest(up)
    assert (status, document["verdict"], document["inconclusive"]) == (0, "clean", [])
    swept = {s["state"]: s["shots"] for s in document["states"] if s["shots"]}
    assert list(swept) == ["connected", "vpn-down", "tor-down", "blocked", "starting"]
    assert min(swept.values()) > 10_000
    assert document["control"]["ok"] and document["control"]["seen"] > 90
    assert len(document["taps"]) == 6
    for tap in document["taps"]:
        assert tap["canary"] and tap["drops"] == 0 and tap["frames"] > 500
    assert document["conditions"]["rules"].startswith("those of the profile in all 5 qubes")
    assert is_up(up)
    assert "page" in up.page() or "news" in up.page()


def test_quick_writes_every_report_and_keeps_the_run(up: Netchain, tmp_path: Path) -> None:
    names = {"--junit": "r.xml", "--sarif": "r.sarif", "--html": "r.html", "--pcap": "pcap"}
    words = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    done = up("leaktest", "--quick", "-k", "dns", *words)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("✓ Clean")
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    assert up("report").stdout == done.stdout
    assert json.loads(up("report", "--json").stdout)["verdict"] == "clean"
    assert up("report", "--html").stdout == (tmp_path / "r.html").read_text()
    kept = done.stderr.splitlines()[-1].removeprefix("kept in ")
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=kept).returncode == 0


def test_a_gateway_that_somebody_opened_is_a_leak(up: Netchain, tmp_path: Path) -> None:
    """Found as it is: nothing is mended, no state is entered, no control is made."""
    rules = tmp_path / "open.nft"
    rules.write_text(OPEN_RULES)
    up.in_network(f"{CHAIN}:sys-whonix", "nft", "-f", str(rules))
    try:
        status, document = leaktest(up, "--quick")
        assert (status, document["verdict"]) == (10, "leak")
        assert {leak["link"] for leak in document["leaks"]} >= {"sys-whonix--sys-proxyvm"}
        assert len({leak["probe"] for leak in document["leaks"]}) > 5  # it forwards nothing
        assert [s["state"] for s in document["states"] if s["shots"]] == ["as found"]
        assert "sys-whonix" in document["conditions"]["rules"]
        assert document["control"] is None
        told = json.loads(up("status", "--json").stdout)
        assert [q["name"] for q in told["qubes"] if q["differs"]] == ["sys-whonix"]
    finally:
        assert up("up").returncode == 0
    assert up("plan", "--exit-code").returncode == 0


def test_a_vpn_that_died_is_tested_as_it_is(up: Netchain) -> None:
    """Nothing leaks; but nobody can listen in a tunnel that is gone."""
    up.in_network(f"{CHAIN}:sys-proxyvm", "ip", "link", "delete", "wg0")
    try:
        status, document = leaktest(up)
        assert [s["state"] for s in document["states"] if s["shots"]] == ["as found"]
        assert (status, document["leaks"]) == (12, [])
        differs, deaf = document["inconclusive"]
        assert differs.startswith("the chain differs from its profile (")
        assert deaf == "nobody listened on sys-proxyvm--tunnel"
    finally:
        assert up("up").returncode == 0


def test_interrupted_in_the_control_it_leaves_the_gateway_closed(up: Netchain) -> None:
    process = up.begin("leaktest", "--state", "connected")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("control:"):
            break
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)
    assert process.returncode == 130, output
    told = json.loads(up("status", "--json").stdout)
    states = {q["name"]: q["state"] for q in told["qubes"]}
    assert states["sys-proxyvm"] in ("blocked", "ready")
    routes = up.in_network(f"{CHAIN}:sys-proxyvm", "ip", "route", "show", "default")
    assert "metric 1 " not in routes
    assert up("up").returncode == 0
    assert up("plan", "--exit-code").returncode == 0


def test_killed_in_the_control_the_next_one_finds_the_leak_and_up_mends_it(up: Netchain) -> None:
    """Nothing can close the gateway then (it is the lab's); but it is seen."""
    process = up.begin("leaktest", "--state", "connected")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("control:"):
            break

    def is_open() -> bool:
        return "metric 1 " in up.in_network(f"{CHAIN}:sys-proxyvm", "ip", "-6", "route", "show")

    assert until(is_open, 10)
    process.kill()
    process.communicate(timeout=20)
    assert up("plan", "--exit-code").returncode == 20
    status, document = leaktest(up)
    assert (status, document["verdict"]) == (10, "leak")
    assert "sys-proxyvm--sys-firewall" in {leak["link"] for leak in document["leaks"]}
    assert up("up").returncode == 0
    assert leaktest(up, "--state", "connected")[0] == 0


def test_as_tests_of_pytest(up: Netchain) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--pyargs",
        "leaktests",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        words, env=up.environment, cwd=up.state, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 500, done.stdout[-300:]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("-k", "nosuch"), 2, "nothing has such an id or name"),
        (("-k", "dns and"), 2, "a word is missing"),
        (("--quick", "--full"), 2, "exclude each other"),
        (("--state", "asleep"), 2, "asleep"),
        (("--html", "/nowhere/at/all.html"), 2, "cannot be written"),
        (("nochain",), 2, "no chain has this name"),
        (("vpn-only",), 3, "is not up"),
    ],
)
def test_wrong_input(up: Netchain, words: tuple[str, ...], code: int, told: str) -> None:
    done = up("leaktest", *words)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_scapy_it_says_so(up: Netchain, tmp_path: Path) -> None:
    """`find_spec` that knows no scapy stands in for an interpreter without it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'scapy' else found(name, *more)\n"
    )
    environment = {**up.environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "netchain", "leaktest"], env=environment, capture_output=True,
        text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 5
    assert "scapy is missing" in done.stderr

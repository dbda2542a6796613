"""The demo from nothing: cold lab, chain, page, table, control; and the machine as it was before.

Not covered: an uplink to a real internet, kernel WireGuard (where this machine has none), other
users' machines. Runs as whoever runs the tests (root here; rootless with a range or a single uid).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import CHAIN, Netchain, until
from machine import machine

from netchain.model.addressing import CLIENT_MAC

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def demo(netchain: Netchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it wrote: the page, the captures and (answer.json) its answer."""
    before, directory = machine(), tmp_path_factory.mktemp("demo")
    page = str(directory / "demo.html")
    done = netchain("demo", "--json", "--pcap", str(directory), "--html", page)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    (directory / "answer.json").write_text(done.stdout)
    assert machine() == before
    return directory


def answer(demo: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((demo / "answer.json").read_text())
    return document


def test_demo_is_clean_and_leaves_the_machine_as_it_was(demo: Path) -> None:
    document = answer(demo)
    assert document["verdict"] == "clean"
    assert document["tor"]["bootstrap"] == 100
    assert all(link["not_allowed"] == 0 and link["frames"] > 0 for link in document["links"])
    assert document["control"]["leaked"] > 0
    stages = document["control"]["stages"]
    assert [stage["opened"] for stage in stages] == ["sys-proxyvm", "sys-firewall", "sys-net"]
    assert all(stage["leaked"] > 0 for stage in stages)
    assert [stage["uplink"] for stage in stages[:-1]] == [0, 0]  # the next hop holds
    assert document["page"]["seen_from"] in {
        "203.0.113.31", "192.88.99.32", "3fff:31::1", "3fff:32::1",
    }  # fmt: skip
    table = document["who_sees_what"]
    assert table["VPN + Tor"]["ISP"]["who"] == ["VPN server", "you"]
    assert "you" not in table["VPN + Tor"]["first relay"]["who"]
    assert table["direct"]["ISP"]["page"] and not table["VPN"]["ISP"]["page"]
    assert table["Tor"]["first relay"]["who"].count("you") == 1
    assert "default-src 'none'" in (demo / "demo.html").read_text()


def test_uplink_capture_holds_only_the_vpn_for_a_foreign_parser(demo: Path) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.utils import rdpcap

    document = answer(demo)
    endpoint = document["vpn_endpoints"][0]
    packets = [p for p in rdpcap(str(demo / "isp.pcap")) if not _is_link_noise(p)]
    # Down there may be the last segments to whoever had this address before (docs/decisions/0005).
    sent = [packet for packet in packets if packet.src == CLIENT_MAC]
    assert len(sent) > 20
    for packet in sent:
        assert IP in packet and UDP in packet, packet.summary()
        ends = {(packet[IP].src, packet[UDP].sport), (packet[IP].dst, packet[UDP].dport)}
        assert (endpoint["address"], endpoint["port"]) in ends
    assert document["seconds"]["all"] > 0


def _is_link_noise(packet: Any) -> bool:
    """The router's and sys-net's multicast reports about their own link (MLD), nothing else."""
    from scapy.layers.inet6 import ICMPv6MLReport2

    return ICMPv6MLReport2 in packet and packet["IPv6"].dst == "ff02::16"


def test_exec_has_no_capabilities_and_passes_the_exit_code_through(up: Netchain) -> None:
    done = up("exec", "vpn-before-tor", "--", "sh", "-c", "grep CapEff /proc/self/status; exit 7")
    assert done.returncode == 7
    assert done.stdout.split() == ["CapEff:", "0000000000000000"]


def test_a_qube_cannot_reach_the_machines_sockets(up: Netchain) -> None:
    done = up("exec", "vpn-before-tor", "--", "sh", "-c", "ls -A /tmp; find /run -type s")
    assert done.stdout == ""


def test_second_up_changes_nothing(up: Netchain) -> None:
    done = up("up", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["steps"] == []
    assert up("plan", "--exit-code").returncode == 0


@pytest.mark.parametrize("program", ["wireguard-go -f", "tor --defaults-torrc"])
def test_a_killed_program_comes_back(up: Netchain, program: str) -> None:
    status = json.loads(up("status", "--json").stdout)
    assert status["verdict"] == "up"
    qube = "sys-proxyvm" if program.startswith("wireguard") else "sys-whonix"
    pids = _pids(up.holder(f"{CHAIN}:{qube}"), program)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: "seen_from" in up.page(), 60)
    assert until(lambda: json.loads(up("status", "--json").stdout)["verdict"] == "up", 30)


def _pids(holder: int, program: str) -> list[int]:
    """PIDs of a program in the network namespace of a node."""
    network = Path(f"/proc/{holder}/ns/net").readlink()
    found = subprocess.run(["pgrep", "-f", f"^{program}"], capture_output=True, text=True)
    pids = map(int, found.stdout.split())
    return [pid for pid in pids if Path(f"/proc/{pid}/ns/net").readlink() == network]


def test_status_names_a_rule_that_was_changed(up: Netchain) -> None:
    holder = up.holder(f"{CHAIN}:sys-firewall")
    subprocess.run(
        ["nsenter", f"--target={holder}", "--user", "--net", "--preserve-credentials", "nft",
         "add", "rule", "inet", "netchain", "forward", "accept"], check=True,
    )  # fmt: skip
    done = up("status")
    assert done.returncode == 3
    assert "+ chain forward accept" in done.stdout
    assert up("plan", "--exit-code").returncode == 20
    assert up("up").returncode == 0
    assert up("plan", "--exit-code").returncode == 0


def test_interrupted_up_stays_closed_and_the_next_one_converges(up: Netchain) -> None:
    assert up("down").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "netchain", "up"], env=up.environment, text=True,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("? await"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 130, rest
    assert "stays closed" in rest
    status = json.loads(up("status", "--json").stdout)
    assert status["verdict"] == "closed"
    assert all(q["state"] in ("blocked", "missing") for q in status["qubes"])
    assert "seen_from" not in up.page()
    assert up("up").returncode == 0
    assert "seen_from" in up.page()


def test_two_ups_at_once_say_who_holds_the_chain(up: Netchain) -> None:
    locks = Path(up.environment["NETCHAIN_STATE_DIR"], "run", "locks", "vpn-before-tor.lock")
    with locks.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = up("up")
    assert done.returncode == 1
    assert "is being changed by process" in done.stderr


def test_secrets_are_in_no_argv_and_no_log(up: Netchain) -> None:
    state = Path(up.environment["NETCHAIN_STATE_DIR"])
    keys = [p.read_text().strip() for p in state.glob("lab/*.key")]
    assert len(keys) > 10
    assert all(p.stat().st_mode & 0o077 == 0 for p in state.glob("lab/*.key"))
    seen = "".join(p.read_text(errors="replace") for p in state.rglob("*.log"))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            seen += (process / "cmdline").read_text(errors="replace")
            seen += (process / "environ").read_text(errors="replace")
    assert not [key for key in keys if key in seen]


def test_a_removed_chain_leaves_no_link_at_the_router(up: Netchain) -> None:
    """Not even a moment later: nothing of ours keeps a removed qube's namespace alive."""
    router = up.holder("lab:isp")

    def ports() -> list[str]:
        command = ["nsenter", f"--target={router}", "--user", "--net", "--preserve-credentials"]
        done = subprocess.run([*command, "ip", "-br", "link"], capture_output=True, text=True)
        return [line for line in done.stdout.splitlines() if line.startswith("wan")]

    assert ports()
    assert up("down").returncode == 0
    assert until(lambda: not ports(), 5)
    assert up("up").returncode == 0


def test_killed_keeper_takes_the_site_down_closed(up: Netchain) -> None:
    os.kill(up.keeper(), signal.SIGKILL)
    assert until(lambda: up("status").returncode == 3, 10)
    assert up("lab", "up").returncode == 0
    assert up("up").returncode == 0
    assert "seen_from" in up.page()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("up", "nope"), 2, "no chain has this name"),
        (("exec", "vpn-before-tor:nobody", "--", "true"), 3, "there is no running qube"),
        (("status", "--wrong"), 2, "No such option"),
        (("frob",), 2, "No such command"),
    ],
)
def test_wrong_words(up: Netchain, words: tuple[str, ...], code: int, said: str) -> None:
    done = up(*words)
    assert done.returncode == code
    assert said in done.stderr

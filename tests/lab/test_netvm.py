"""`netchain netvm` on a running chain: every kind of switch, what is refused, what is remembered.

The receipt of each switch is judged from packets; that a wrong one would show is
tests/lab/test_switch_flood.py. Not covered: crashes between steps (test_killed*.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Netchain

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
MORE = """[[qube]]
name  = "sys-vpn-b"
role  = "vpn-proxy"
netvm = "sys-firewall"
label = "orange"
vpn   = { config = "lab:provider-b" }

[[qube]]
name  = "sys-firewall2"
role  = "firewall"
netvm = "sys-net"
label = "green"

"""


@pytest.fixture(scope="module")
def running(netchain: Netchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The main chain with a second VPN qube and a second firewall; up."""
    shipped = (ROOT / "profiles" / "vpn-before-tor.toml").read_text()
    head, mark, tail = shipped.partition('[[qube]]\nname  = "sys-whonix"')
    path = tmp_path_factory.mktemp("two") / "two.toml"
    path.write_text(head.replace('"vpn-before-tor"', '"two"') + MORE + mark + tail)
    assert netchain("lab", "up").returncode == 0
    done = netchain("up", str(path))
    assert done.returncode == 0, done.stderr
    yield str(path)
    netchain("down", str(path))
    forget(netchain)


@pytest.fixture
def two(netchain: Netchain, running: str) -> Iterator[str]:
    """The same for a test that changes it; afterwards it is as its profile says."""
    yield running
    forget(netchain)
    done = netchain("up", running)
    assert done.returncode == 0, done.stderr


def forget(netchain: Netchain) -> None:
    Path(netchain.state, "switched", "two.json").unlink(missing_ok=True)


def switch(netchain: Netchain, two: str, qube: str, *words: str) -> dict[str, Any]:
    done = netchain("netvm", f"{two}:{qube}", *words, "--json", "-q")
    assert done.returncode == 0, done.stderr
    assert netchain("plan", two, "--exit-code").returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["wrong"] == 0
    assert found["verdict"] == "clean"
    return found


def page(netchain: Netchain, two: str, seconds: int = 10) -> str:
    curl = ("curl", "-sS", "-m", str(seconds), "http://news.lab/x")
    return netchain("exec", two, "--", *curl).stdout


def test_tor_reconnects_by_itself_through_another_provider(netchain: Netchain, two: str) -> None:
    done = switch(netchain, two, "sys-whonix", "sys-vpn-b")
    by = {link["link"]: link for link in done["links"]}
    assert by["sys-vpn-b--tunnel"]["after"] > 0
    assert by["sys-whonix--sys-proxyvm"]["after"] == by["sys-proxyvm--tunnel"]["after"] == 0
    assert done["cut_ms"] is not None and done["ready_ms"] is not None
    assert done["back"].split()[-2:] == ["two:sys-whonix", "sys-proxyvm"]
    assert "news" in page(netchain, two)
    assert netchain("netvm", f"{two}:sys-whonix").stdout.strip() == "sys-vpn-b"


@pytest.mark.parametrize(
    "ways",
    [
        ("sys-proxyvm sys-firewall2", "sys-proxyvm sys-firewall"),
        ("sys-firewall2 sys-firewall", "sys-vpn-b sys-firewall2", "sys-whonix sys-vpn-b"),
        ("anon-whonix none", "sys-whonix sys-vpn-b", "anon-whonix sys-whonix"),
        ("sys-whonix none", "sys-proxyvm none", "sys-proxyvm sys-firewall2",
         "sys-whonix sys-proxyvm"),
        ("sys-firewall none", "sys-firewall sys-net"),
    ],
)  # fmt: skip
def test_switches_one_behind_the_other(netchain: Netchain, two: str, ways: tuple[str, ...]) -> None:
    for way in ways:
        switch(netchain, two, *way.split())
    assert "news" in page(netchain, two)


def test_a_vpn_that_goes_into_another_one_gets_a_tunnel_that_fits(
    netchain: Netchain, two: str
) -> None:
    """Not while it runs: its tunnel is made anew, smaller, and larger on the way back."""
    switch(netchain, two, "sys-whonix", "sys-vpn-b")
    for netvm, mtu in (("sys-proxyvm", 1360), ("sys-firewall", 1420)):
        done = netchain("netvm", f"{two}:sys-vpn-b", netvm)
        assert done.returncode == 0, done.stderr
        assert "another size" in done.stdout
        assert netchain("plan", two, "--exit-code").returncode == 0
        link = netchain.in_network("two:sys-vpn-b", "ip", "link", "show", "wg0")
        assert f"mtu {mtu} " in link
        assert "news" in page(netchain, two)


def test_a_qube_without_a_netvm_reaches_nothing(netchain: Netchain, two: str) -> None:
    switch(netchain, two, "anon-whonix", "none")
    assert page(netchain, two, 3) == ""
    told = json.loads(netchain("status", two, "--json").stdout)
    state = {qube["name"]: qube["state"] for qube in told["qubes"]}
    assert told["verdict"] == "up"
    assert state["anon-whonix"] == "apart" and state["sys-whonix"] == "ready"


def test_nothing_is_waited_for_in_a_gateway_without_a_netvm(netchain: Netchain, two: str) -> None:
    switch(netchain, two, "sys-whonix", "none")
    done = netchain("up", two, "--timeout", "2")
    assert done.returncode == 0, done.stderr


def test_its_programs_go_on_running(netchain: Netchain, two: str) -> None:
    program = netchain.begin("exec", two, "--", "sleep", "600")
    try:
        switch(netchain, two, "sys-whonix", "sys-vpn-b")
        assert program.poll() is None
    finally:
        program.terminate()
        program.communicate()


def test_without_tor_only_when_it_is_spelled_out_and_told_for_ever(
    netchain: Netchain, two: str
) -> None:
    refused = netchain("netvm", f"{two}:anon-whonix", "sys-vpn-b")
    assert refused.returncode == 4
    assert "without Tor" in refused.stderr and "Nothing was changed." in refused.stderr
    switch(netchain, two, "anon-whonix", "sys-vpn-b", "--allow-clearnet")
    assert json.loads(page(netchain, two))["seen_from"] == "198.19.8.1"
    assert "CLEARNET  anon-whonix goes without Tor since" in netchain("status", two).stdout
    switch(netchain, two, "anon-whonix", "sys-whonix")
    assert "CLEARNET  anon-whonix has been without Tor since" in netchain("status", two).stdout


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("sys-proxyvm anon-whonix", 2, "does not provide network"),
        ("sys-firewall sys-proxyvm", 2, "loops in network are unsupported"),
        ("sys-net sys-firewall", 2, "a qube that holds the uplink has no netvm"),
        ("sys-whonix nobody", 2, "no qube has this name"),
        ("sys-whonix a/b", 2, "this is not a name"),
        ("nobody sys-net", 2, "has no such qube"),
    ],
)
def test_refusals(netchain: Netchain, running: str, words: str, status: int, told: str) -> None:
    qube, netvm = words.split()
    done = netchain("netvm", f"{running}:{qube}", netvm)
    assert done.returncode == status
    assert told in done.stderr and done.stderr.endswith("Nothing was changed.\n")
    assert netchain("plan", running, "--exit-code").returncode == 0


def test_a_stopped_netvm_is_refused_in_qubes_words(netchain: Netchain, two: str) -> None:
    netchain.in_network("two:sys-vpn-b", "nft", "add table inet netchain_blocked")
    load = (ROOT / "firewall_rules" / "blocked.nft").read_text()
    netchain.in_network("two:sys-vpn-b", "nft", load)
    done = netchain("netvm", f"{two}:sys-whonix", "sys-vpn-b")
    assert done.returncode == 3
    assert "Cannot dynamically attach to stopped NetVM: 'sys-vpn-b'" in done.stderr


def test_a_chain_that_is_down_remembers(netchain: Netchain, two: str) -> None:
    assert netchain("down", two).returncode == 0
    done = netchain("netvm", f"{two}:sys-whonix", "sys-vpn-b")
    assert done.returncode == 0 and "its next `up`" in done.stdout
    assert netchain("up", two).returncode == 0
    assert "news" in page(netchain, two)
    told = netchain("status", two).stdout
    assert "switched  sys-whonix → sys-vpn-b since" in told


def test_a_switched_chain_is_clean(netchain: Netchain, two: str) -> None:
    """And nothing is said of Tor where the permission was not needed."""
    switch(netchain, two, "sys-whonix", "sys-vpn-b", "--allow-clearnet")
    assert "CLEARNET" not in netchain("status", two).stdout
    done = netchain("leaktest", two, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(sys-vpn-b opened" in done.stdout  # the control is on the way that is in use


def test_a_dead_vpn_behind_the_switch_leaves_the_chain_closed_not_leaking(
    netchain: Netchain, two: str
) -> None:
    """Its handshake is young enough, so that all rules are switched before anybody notices. The
    last of these tests: for a while tor finds no circuit quickly."""
    drop = "add chain inet silent f { type filter hook forward priority 0; }"
    netchain.in_network("lab:isp", "nft", "add table inet silent")
    try:
        netchain.in_network("lab:isp", "nft", drop)
        netchain.in_network("lab:isp", "nft", "add rule inet silent f ip daddr 198.19.8.1 drop")
        done = netchain("netvm", f"{two}:sys-whonix", "sys-vpn-b", "--timeout", "3")
        assert done.returncode == 3
        assert done.stderr.endswith("It is switched, and proved closed: every rule holds.\n")
        assert netchain("plan", two, "--exit-code").returncode == 0
        assert page(netchain, two, 3) == ""
    finally:
        netchain.in_network("lab:isp", "nft", "delete table inet silent")

"""A chain that is up follows its profile: what was changed in the file is changed in the kernel.

The page that the workstation still gets, and from where, says that the new state works. Not
covered: switching a netvm without closing (a command of its own), and a changed uplink.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import Netchain, until
from machine import alive, descendants, machine

pytestmark = pytest.mark.lab
ZERO = '[[qube]]\nname = "zero"\nrole = "firewall"\nnetvm = "sys-net"\nlabel = "green"\n'
SYS_NET = '[[qube]]\nname  = "sys-net"'


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def steps(netchain: Netchain, path: Path) -> list[str]:
    """The steps of the next `up`, which must then leave nothing to do."""
    done = netchain("up", str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert netchain("plan", str(path), "--exit-code").returncode == 0
    found: list[str] = json.loads(done.stdout)["steps"]
    return [" ".join(step.split()[1:3]) for step in found]


def seen_from(netchain: Netchain, path: Path) -> str:
    curl = ("curl", "-sS", "-m", "10", "http://news.lab/x")
    done = netchain("exec", str(path), "--", *curl)
    assert done.returncode == 0, done.stderr
    page: dict[str, Any] = json.loads(done.stdout)
    return str(page["seen_from"])


def test_another_provider_is_used_from_the_next_up_on(netchain: Netchain, profile: Path) -> None:
    assert seen_from(netchain, profile) == "198.18.7.1"
    change(profile, "lab:provider-a", "lab:provider-b")
    assert netchain("plan", str(profile), "--exit-code").returncode == 20
    took = steps(netchain, profile)
    assert took.index("block work") < took.index("stop sys-proxyvm")
    assert took.index("stop sys-proxyvm") < took.index("start sys-proxyvm")
    assert took[-1] == "unblock work"
    assert seen_from(netchain, profile) == "198.19.8.1"


def test_a_qube_before_the_others_moves_every_address(netchain: Netchain, profile: Path) -> None:
    before = netchain("exec", str(profile), "--", "hostname", "-I").stdout
    change(profile, SYS_NET, f"{ZERO}\n{SYS_NET}")
    took = steps(netchain, profile)
    assert "create zero" in took and "detach work" in took and "attach work" in took
    after = netchain("exec", str(profile), "--", "hostname", "-I").stdout
    assert before.split()[0] == "10.137.0.13" and after.split()[0] == "10.137.0.14"
    assert seen_from(netchain, profile) == "198.18.7.1"
    change(profile, f"{ZERO}\n", "")
    assert "remove zero" in steps(netchain, profile)


def test_another_role_makes_the_qube_anew(netchain: Netchain, profile: Path) -> None:
    """A VPN qube becomes a firewall between the VPN and the uplink: no tunnel is left in it."""
    vpn = 'vpn   = { config = "lab:provider-a" }'
    text = profile.read_text()
    change(profile, f'role  = "vpn-proxy"\nnetvm = "sys-firewall"\nlabel = "orange"\n{vpn}',
           'role  = "firewall"\nnetvm = "sys-firewall"\nlabel = "green"')  # fmt: skip
    new = '[[qube]]\nname = "new"\nrole = "vpn-proxy"\nnetvm = "sys-proxyvm"\nlabel = "orange"\n'
    profile.write_text(
        profile.read_text().replace('netvm = "sys-proxyvm"', 'netvm = "new"') + new + vpn
    )
    took = steps(netchain, profile)
    assert took.index("remove sys-proxyvm") < took.index("create sys-proxyvm")
    links = netchain.in_network("mend:sys-proxyvm", "ip", "-br", "link")
    assert "wg0" not in links and "eth0" in links
    assert seen_from(netchain, profile) == "198.18.7.1"
    profile.write_text(text)
    assert "remove new" in steps(netchain, profile)


def test_what_runs_is_changed_only_after_a_yes(netchain: Netchain, profile: Path) -> None:
    change(profile, "lab:provider-a", "lab:provider-b")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "netchain", "up", str(profile)], env=netchain.environment, text=True,
        stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"n\n")
    said = process.communicate(timeout=30)[1]
    os.close(master)
    assert process.returncode == 1
    assert "stop      sys-proxyvm" in said and "Do it?" in said
    assert "Nothing was changed." in said
    assert seen_from(netchain, profile) == "198.18.7.1"
    assert "stop sys-proxyvm" in steps(netchain, profile)


def test_a_second_command_can_wait_for_the_first(netchain: Netchain, profile: Path) -> None:
    netchain("down", str(profile))
    commands = [netchain.begin("up", str(profile), "--wait") for _ in range(2)]
    said = [command.communicate(timeout=60) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said


def test_the_lines_that_up_prints_can_be_pasted(netchain: Netchain, profile: Path) -> None:
    """Those of one link, after it was deleted: afterwards everything is as it was, but for who made
    it: a link that is not the keeper's is made anew by the next `up`."""
    netchain("down", str(profile))
    said = netchain("up", str(profile), "-v").stderr
    assert "PrivateKey" not in said and "not shown" in said
    prelude, lines = said.splitlines()[:2], said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("+ attach    work"))
    end = next(i for i, line in enumerate(lines) if i > start and line.startswith(("~ ", "+ ")))
    before = {node: _network(netchain, node) for node in ("mend:work", "mend:sys-proxyvm")}
    netchain.in_network("mend:work", "ip", "link", "del", "eth0")
    assert netchain("plan", str(profile), "--exit-code").returncode == 20
    script = "\n".join([*prelude, *lines[start + 1 : end]])
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(["bash", "-euc", script], check=True, env=environment)
    assert {node: _network(netchain, node) for node in before} == before
    told = json.loads(netchain("status", str(profile), "--json").stdout)["qubes"]
    differs = {qube["name"]: [one["what"] for one in qube["differs"]] for qube in told}
    assert {name: what for name, what in differs.items() if what} == {
        "work": ["link"], "sys-proxyvm": ["link"],
    }  # fmt: skip
    assert netchain("up", str(profile)).returncode == 0
    assert netchain("plan", str(profile), "--exit-code").returncode == 0


def _network(netchain: Netchain, node: str) -> list[str]:
    """Links, addresses, routes and permanent neighbours, without the numbers of interfaces."""
    lines = []
    for words in (("-br", "addr"), ("route",), ("-6", "route"), ("neigh", "show", "nud", "all")):
        lines += netchain.in_network(node, "ip", *words).splitlines()
    links = json.loads(netchain.in_network(node, "ip", "-j", "link"))
    lines += [f"{i['ifname']} {i['group']} {i.get('ifalias')}" for i in links]
    return sorted(" ".join(w.partition("@")[0] for w in line.split()) for line in lines)


def test_down_is_quick_and_leaves_no_process_and_the_machine_as_it_was(
    netchain: Netchain, profile: Path
) -> None:
    netchain("lab", "down")
    before = machine()
    assert netchain("lab", "up").returncode == 0
    assert netchain("up", str(profile)).returncode == 0
    every = descendants(netchain.keeper())
    chain = descendants(netchain.holder("mend:sys-proxyvm"))
    assert len(every) > 20 and chain < every
    start = time.monotonic()
    assert netchain("down", str(profile)).returncode == 0
    assert time.monotonic() - start < 10  # the bench measures it; this only notices a hang
    assert until(lambda: not alive(chain), 5)
    assert netchain("lab", "down").returncode == 0
    assert until(lambda: not alive(every), 5)
    assert machine() == before
    assert netchain("lab", "up").returncode == 0

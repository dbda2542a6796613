"""netchain doctor: what this computer has, what is missing, how to fix it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import click

from netchain.backends.netns import uid_maps
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError
from netchain.lab.lab import PROGRAMS
from netchain.model.chain import Chain
from netchain.nft.library import load_library
from netchain.uplink import pasta
from netchain.vpn.wireguard_go import tun_problem


@dataclass(frozen=True)
class Need:
    """One thing that netchain needs; `fix` is empty when it is there."""

    name: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        return not self.fix


@click.command("doctor")
@common.output_options
def command(as_json: bool, quiet: bool) -> int:
    """Check every need: ok, or missing and how to fix it."""
    console = Console(as_json=as_json, quiet=quiet)
    needs = list(_needs())
    rows = [f"{'✓' if n.ok else '✗'} {n.name}" + (f"\n    {n.fix}" if n.fix else "") for n in needs]
    found = [{"name": n.name, "ok": n.ok, "fix": n.fix} for n in needs]
    missing = [n for n in needs if not n.ok]
    rows.append(f"{len(missing)} missing" if missing else "everything is there")
    console.result("\n".join(rows), {"needs": found, "verdict": "missing" if missing else "done"})
    return Exit.MISSING if missing else Exit.DONE


def _needs() -> Iterator[Need]:
    for program, package in PROGRAMS.items():
        there = shutil.which(program)
        yield Need(program, "" if there else f"apt-get install {package}")
    yield _nft()
    yield _user_namespaces()
    yield _tun()
    yield Need("uids: " + _uids())
    yield from _uplinks()


def _uplinks() -> Iterator[Need]:
    """What the uplinks of the profiles need; where none needs it, it is told and not missing."""
    used = {chain.uplink for chain in _chains()}
    name = "pasta or slirp4netns (uplink = pasta)"
    try:
        yield Need(f"{pasta.program()} (uplink = pasta)")
    except NetchainError as error:
        is_used = "pasta" in used
        yield Need(name if is_used else f"{name}: not here, not used", is_used * _help(error))
    if os.geteuid() and (rooted := sorted(used - {"lab", "pasta"})):
        yield Need(f"root (uplink = {', '.join(rooted)})", "sudo netchain up CHAIN")


def _help(error: NetchainError) -> str:
    return error.problems[0].help


def _chains() -> Iterator[Chain]:
    for name in common.profiles():
        with suppress(NetchainError):  # `netchain ls` tells of those that are bad
            yield common.find(name).chain


def _nft() -> Need:
    try:
        load_library()
    except NetchainError as error:
        return Need("nft's Python binding", error.problems[0].help)
    return Need("nft's Python binding")


def _user_namespaces() -> Need:
    probe = ["unshare", "--user", "--map-root-user", "--net", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError as error:
        return Need("user namespaces", str(error))
    fix = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile)"
    return Need("user namespaces", f"{done.stderr.strip()}; {fix}" if done.returncode else "")


def _tun() -> Need:
    problem = tun_problem()
    fix = f"{problem.problems[0].title}; {problem.problems[0].help}" if problem else ""
    return Need("/dev/net/tun (for wireguard-go)", fix)


def _uids() -> str:
    if uid_maps.has_uid_range():
        return (
            "a range of subordinate uids" if os.geteuid() else "a range, for each program its own"
        )
    return "one for all programs; “only tor's uid may send” is assumed, not proved (known-issues)"

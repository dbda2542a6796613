"""netchain doctor: what this computer has, what is missing, how to fix it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError
from netchain.nft.library import load_library

_PROGRAMS = {
    "wireguard-go": "wireguard-go",
    "wg": "wireguard-tools",
    "tor": "tor",
    "tor-gencert": "tor",
    "unbound": "unbound",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


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
    for program, package in _PROGRAMS.items():
        there = shutil.which(program)
        yield Need(program, "" if there else f"apt-get install {package}")
    yield _nft()
    yield _user_namespaces()
    yield _tun()
    yield Need("uids: " + _uids())


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
    name = "/dev/net/tun (for wireguard-go)"
    device = Path("/dev/net/tun")
    if not device.exists():
        return Need(name, "modprobe tun")
    if not os.access(device, os.R_OK | os.W_OK):
        mode = f"{device.stat().st_mode & 0o777:04o}"
        return Need(name, f"it is not open to you (mode {mode}): chmod 0666 {device}, as udev does")
    return Need(name)


def _uids() -> str:
    if os.geteuid() == 0:
        return "a range of its own for each program"
    from netchain.backends.netns.starter import has_uid_range

    if has_uid_range():
        return "a range of subordinate uids"
    return "one for all programs; “only tor's uid may send” is assumed, not proved (known-issues)"

"""Links in namespaces of their own, for what needs no chain.

A scenario is a function of a test's file, which runs as `unshare ... python FILE NAME`: an
unprivileged user may do that, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

HEAD = bytes.fromhex("02000000000b 02000000000a 88b5")
DEADLINE_S = 20.0


def ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def operational() -> set[str]:
    """Interfaces that send what they are given: of veths, those whose queue is there by now."""
    done = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True)
    return {link["ifname"] for link in json.loads(done.stdout) if link["operstate"] == "UP"}


def pair(near: str, far: str) -> None:
    """Two connected interfaces that send nothing of their own."""
    silent = "addrgenmode none"
    ip(
        f"link add {near} type veth peer name {far}",
        *(f"link set {end} {silent} multicast off up" for end in (near, far)),
    )
    deadline = monotonic() + 5
    while not {near, far} <= operational():
        assert monotonic() < deadline  # until then what an end sends may be dropped


def run_alone(file: str, scenario: Callable[[], None]) -> None:
    """Run a scenario of that file; AssertionError with what it said when it fails."""
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    python = [sys.executable, "-W", "error", str(Path(file).resolve()), scenario.__name__]
    ran = subprocess.run(
        [*unshare, *python],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""

"""Everything of this machine's own network that no lab and no chain may change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

_COMMANDS = {
    "links": ["ip", "-o", "-d", "link"],
    "addresses": ["ip", "-o", "addr"],
    "routes": ["ip", "route", "show", "table", "all"],
    "routes6": ["ip", "-6", "route", "show", "table", "all"],
    "rules": ["ip", "rule"],
    "rules6": ["ip", "-6", "rule"],
    "neighbours": ["ip", "neigh", "show", "nud", "permanent"],
    "namespaces": ["ip", "netns"],
    "nft": ["nft", "--stateless", "list", "ruleset"],
}
_LIVE = {"nf_conntrack_count", "nf_conntrack_buckets"}
"""What the kernel itself counts there."""


def machine() -> dict[str, str]:
    """What ip(8) and nft(8) say, every network sysctl, resolv.conf and hosts."""
    seen = {
        name: subprocess.run(command, capture_output=True, text=True).stdout
        for name, command in _COMMANDS.items()
    }
    return seen | dict(_files())


def _files() -> Iterator[tuple[str, str]]:
    sysctls = (p for p in Path("/proc/sys/net").rglob("*") if p.is_file() and p.name not in _LIVE)
    for path in (*sysctls, Path("/etc/resolv.conf"), Path("/etc/hosts")):
        try:
            yield str(path), path.read_text()
        except OSError:
            continue  # can only be written, or is not there


def descendants(pid: int) -> set[int]:
    """The process and all below it, as this machine numbers them."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(process.name)] = int(stat.rpartition(")")[2].split()[1])
    found, more = set[int](), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found


def alive(pids: set[int]) -> bool:
    """Whether any of them still runs; one that only waits to be reaped does not."""
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            return True
    return False

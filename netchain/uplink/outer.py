"""The namespaces outside the site, those of whoever called netchain: what is there, changes to it.

By ip(8) and nft(8), run as they would be by hand.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from netchain.errors import Exit, NetchainError, Problem, missing
from netchain.model.chain import Address

_TIMEOUT_S = 20.0
_DENIED = ("Operation not permitted", "Permission denied", "Read-only file system")


def run(*words: str, stdin: str = "") -> str:
    """What the program printed. NetchainError (E038) with its words when it fails, exit 5 where a
    right is missing."""
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        package = {"ip": "iproute2", "nft": "nftables"}.get(words[0], words[0])
        title = f"{words[0]} is missing"
        raise missing("E033", title, f"apt-get install {package}") from error
    except subprocess.TimeoutExpired as error:
        raise NetchainError(Problem("E038", f"{' '.join(words)}: no end in time")) from error
    if done.returncode:
        said = done.stderr.strip() or f"it ended with {done.returncode}"
        denied = any(text in said for text in _DENIED)
        hint = "run netchain as root of this network namespace" if denied else ""
        problem = Problem("E038", f"{' '.join(words)}: {said}", help=hint)
        raise NetchainError(problem, Exit.MISSING if denied else Exit.FAILED)
    return done.stdout


def addresses() -> Iterator[Address]:
    """Every address of this computer, that of no zone."""
    for link in listed("address"):
        for found in link.get("addr_info", ()):
            yield ip_address(found["local"])


def links() -> set[str]:
    return {link["ifname"] for link in listed("link")}


def routes(family: int) -> list[dict[str, Any]]:
    return [*listed(f"-{family}", "route", "show", "table", "all")]


def default_interfaces(family: int) -> list[str]:
    """The interfaces of the default routes, each once."""
    found = (r["dev"] for r in routes(family) if r.get("dst") == "default" and "dev" in r)
    return list(dict.fromkeys(name for name in found if name != "lo"))


def is_free(network: str) -> bool:
    """Whether no address and no route but a default one of this computer is in the network."""
    wanted = ip_network(network)
    destinations = (
        ip_network(route["dst"])
        for route in routes(wanted.version)
        if route.get("dst", "default") != "default"
    )
    # A route to everywhere written as a network is a default route, too.
    return not any(wanted.overlaps(found) for found in destinations if found.prefixlen)


def listed(*words: str) -> Iterable[dict[str, Any]]:
    """What `ip -j` lists."""
    return (entry for entry in json.loads(run("ip", "-j", *words) or "[]") if entry)


def read(path: Path) -> str:
    """A setting below /proc/sys/net/; "" where the kernel has none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def write(path: Path, value: str) -> None:
    """NetchainError (E038, exit 5) where it may not be written."""
    try:
        path.write_text(value)
    except OSError as error:
        hint = "run netchain as root of this network namespace"
        raise missing("E038", f"cannot write {path}: {error.strerror}", hint) from error

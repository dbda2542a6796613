"""`uplink = "nic:NAME"`: a NIC of this computer is the router's own for as long as the chain is up.

As root. It is given back up, with the addresses and routes that it had. When everything of ours was
killed at once the kernel gives a physical NIC back to the computer's first network namespace, down
and without addresses.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from netchain.errors import Exit, NetchainError, Problem
from netchain.uplink import outer, record

_FAMILIES = ("-4", "-6")
Words = list[str]


class Nic:
    """The NIC, moved. This process keeps the router's namespace alive until it is back."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name, self._netns = directory, name, -1

    def open(self, netns: str) -> None:
        if self._name not in outer.links():
            title = f"this computer has no NIC {self._name}"
            accepted = ", ".join(sorted(outer.links() - {"lo"}))
            raise NetchainError(Problem("E038", title, accepted=accepted), Exit.MISSING)
        back = list(_setup(self._name))
        record.write(self._directory, {
            "kind": "nic", "nic": self._name, "back": back,
        })  # fmt: skip
        self._netns = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        outer.run("ip", "link", "set", self._name, "netns", netns)

    def close(self) -> None:
        undo(record.read(self._directory), f"/proc/{os.getpid()}/fd/{self._netns}")
        record.forget(self._directory)


def _setup(name: str) -> list[Words]:
    """The words for ip(8) that make the NIC what it is: up, its addresses and its routes."""
    (link,) = (found for found in outer.listed("link") if found["ifname"] == name)
    words: list[Words] = []
    if "UP" in link["flags"]:
        words.append(["link", "set", name, "up"])
    for found in outer.listed("address", "show", "dev", name):
        for a in found.get("addr_info", ()):
            if a["scope"] != "link":
                words.append(["address", "replace", f"{a['local']}/{a['prefixlen']}", "dev", name])
    for family in _FAMILIES:
        for line in outer.run("ip", family, "route", "show", "dev", name).splitlines():
            if "proto kernel" not in line:
                words.append([family, "route", "replace", *_known(line), "dev", name])
    return words


def _known(line: str) -> Words:
    """A route as `ip route show` prints it, as words that `ip route replace` takes."""
    return [word for word in line.split() if word not in ("linkdown", "dead")]


def undo(data: dict[str, Any], netns: str) -> None:
    """Give it back out of the router's namespace (a path; "" when that is gone, and the kernel has
    given it back)."""
    if not data:
        return
    if netns and data["nic"] not in outer.links():
        _fetch(data["nic"], netns)
    for words in data["back"]:
        with contextlib.suppress(NetchainError):  # one route must not keep the others away
            outer.run("ip", *words)


def _fetch(name: str, netns: str) -> None:
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        enter = ("nsenter", f"--net={netns}", "ip", "link", "set", name)
        outer.run(*enter, "down", "netns", f"/proc/{os.getpid()}/fd/{here}")
    finally:
        os.close(here)

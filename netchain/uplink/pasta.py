"""`uplink = "pasta"`: pasta(1), or slirp4netns(1) without it, carries packets as an ordinary
program's of whoever called netchain.

Told to give the chain nothing of the host: no gateway that stands for the host's loopback, no port
forwarded, no DNS, no DHCP. The host's other addresses they would reach as any program does; those
the router's rules drop (firewall_rules/uplinks/router.nft).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from netchain.errors import missing
from netchain.uplink import record
from netchain.uplink.addresses import GATEWAY_MAC, OUTER, OUTER_MAC, Outside, private

_MTU = 1500
_END_S = 5.0
_SLIRP_NETWORK = "10.138.1.0/24"


def program() -> str:
    """The one that is there. NetchainError (E037, exit 5) without one."""
    for name in ("pasta", "slirp4netns"):
        if shutil.which(name):
            return name
    title = 'uplink = "pasta" needs pasta or slirp4netns'
    raise missing("E037", title, "apt-get install passt, or: apt-get install slirp4netns")


def outside(name: str) -> Outside:
    """pasta answers for any gateway; slirp4netns is the second address of its network, and its
    guest the hundredth. Only pasta is given IPv6."""
    known = private(1, GATEWAY_MAC)
    if name == "pasta":
        return known
    base = known.gateway4 - 1
    guest = type(known.address4)(base + 100)
    return Outside(OUTER, guest, base + 2)


def argv(name: str, userns: str, netns: str) -> list[str]:
    """The program's whole command line; the namespaces are paths."""
    if name == "slirp4netns":
        return [
            name, "--configure", f"--mtu={_MTU}", f"--cidr={_SLIRP_NETWORK}", "--disable-dns",
            "--disable-host-loopback", f"--macaddress={OUTER_MAC}", f"--userns-path={userns}",
            "--netns-type=path", netns, OUTER,
        ]  # fmt: skip
    where = outside(name)
    assert where.address6 is not None
    words = [name, "--foreground", "--quiet"]
    if os.geteuid() == 0:
        words += ["--runas", "0:0"]  # the site's user namespace is root's
    return [
        *words, "--ns-ifname", OUTER, "--mtu", str(_MTU), "--mac-addr", GATEWAY_MAC,
        "--address", str(where.address4.ip), "--netmask", "32", "--gateway", str(where.gateway4),
        "--address", str(where.address6.ip), "--gateway", str(where.gateway6),
        "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
        "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra", "-D", "none", "-S", "none",
        "--userns", userns, "--netns", netns,
    ]  # fmt: skip


class Pasta:
    """The running program."""

    def __init__(self, directory: Path, keeper: int) -> None:
        self._directory = directory
        self._userns = f"/proc/{keeper}/ns/user"
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, netns: str) -> int:
        """Start it; a descriptor that is readable once it has ended."""
        words = argv(program(), self._userns, netns)
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        pid = self._process.pid
        record.write(self._directory, {"kind": "pasta", "pid": pid, "since": _since(pid)})
        return os.pidfd_open(pid)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_S)
        record.forget(self._directory)


def undo(data: dict[str, Any]) -> None:
    """End a program whose guard was killed; nothing when it has ended."""
    if data["since"] and _since(data["pid"]) == data["since"]:
        os.kill(data["pid"], signal.SIGKILL)


def _since(pid: int) -> str:
    """When the process started, in the kernel's ticks; "" when it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""

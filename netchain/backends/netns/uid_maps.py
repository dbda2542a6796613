"""How the uids of a site are mapped, and who tor and a person's programs are in it.

As root the whole range maps to itself; a user with subordinate uids (/etc/subuid) maps them through
newuidmap(1); anybody else has one uid, which is 0 inside (docs/known-issues.md, "One uid").
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

_TOR_USERS = ("debian-tor", "tor", "_tor")


class MapError(Exception):
    """newuidmap(1) or newgidmap(1) refused; with its words."""


class Maps:
    """How uids are mapped, and who tor and a person's programs are inside."""

    has_range = False
    tor = person = "-"

    def write(self, pid: int) -> None:
        """One uid: ourselves, as 0."""
        Path(f"/proc/{pid}/setgroups").write_text("deny")
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {os.geteuid()} 1")
        Path(f"/proc/{pid}/gid_map").write_text(f"0 {os.getegid()} 1")


class _RootMaps(Maps):
    """Root: the whole range, each uid as itself."""

    has_range = True

    def __init__(self) -> None:
        self.tor = _first_user(_TOR_USERS, "65533:65533")
        self.person = _invoker() or "65534:65534"

    def write(self, pid: int) -> None:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text("0 0 65536")


def _invoker() -> str:
    """Who called sudo, as `UID:GID`; "" for nobody. Root is nobody: a person's program must own
    nothing of the machine's."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    numbers = uid.isascii() and uid.isdigit() and gid.isascii() and gid.isdigit()
    return f"{uid}:{gid}" if numbers and int(uid) and int(gid) else ""


class _SubordinateMaps(Maps):
    """A user with subordinate uids: 0 is the user, the rest come from the range."""

    has_range = True

    def __init__(self, uids: tuple[int, int], gids: tuple[int, int]) -> None:
        self._ranges = {"newuidmap": (os.geteuid(), *uids), "newgidmap": (os.getegid(), *gids)}
        self.tor = _first_user(_TOR_USERS, "101:101")
        self.person = "1000:1000"

    def write(self, pid: int) -> None:
        for program, (own, first, count) in self._ranges.items():
            words = [program, str(pid), "0", str(own), "1", "1", str(first), str(count)]
            done = subprocess.run(words, check=False, capture_output=True, text=True)
            if done.returncode:
                raise MapError(done.stderr.strip() or f"{program} ended with {done.returncode}")


def plan() -> Maps:
    """The maps that this user can have."""
    if os.geteuid() == 0:
        return _RootMaps() if _all_uids() else Maps()
    uids, gids = _subordinate("/etc/subuid"), _subordinate("/etc/subgid")
    if uids and gids and min(uids[1], gids[1]) >= 65535 and shutil.which("newuidmap"):
        return _SubordinateMaps((uids[0], 65535), (gids[0], 65535))
    return Maps()


def has_uid_range() -> bool:
    """Whether programs of a site of this user have uids of their own."""
    return plan().has_range


def _all_uids() -> bool:
    """Whether root has the whole range to give: in some containers it has a single uid."""
    tables = (Path(f"/proc/self/{kind}").read_text().split() for kind in ("uid_map", "gid_map"))
    return all(table[0] == "0" and int(table[2]) >= 65536 for table in tables)


def _subordinate(path: str) -> tuple[int, int] | None:
    """First uid and count of our range in /etc/subuid (subuid(5)); None without one."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
        for line in Path(path).read_text().splitlines():
            owner, first, count = line.split(":")
            if owner in (user, str(os.geteuid())):
                return int(first), int(count)
    return None


def _first_user(names: tuple[str, ...], otherwise: str) -> str:
    for name in names:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return f"{entry.pw_uid}:{entry.pw_gid}"
    return otherwise

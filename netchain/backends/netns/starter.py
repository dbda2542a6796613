"""Starts a keeper: user namespace, uid map, PID, mount and network namespaces, then the program.

As root the whole uid range maps to itself; a user with subordinate uids (/etc/subuid) maps them
through newuidmap(1); any other user has one uid. The keeper is found again by its socket in the
runtime directory or, without that, by the marker in its command line.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from netchain import paths
from netchain.backends.netns import syscalls
from netchain.errors import Exit, NetchainError, Problem, missing

MARKER = "netchain-keeper"
_START_S = 20.0
_TOR_USERS = ("debian-tor", "tor", "_tor")


def start(site: str, socket_path: Path, log: Path) -> None:
    """Start the site's keeper and wait until it answers.

    Raises NetchainError: exit 5 where user namespaces are forbidden, exit 1 with the log's last
    line when it does not come up.
    """
    listening = socket.socket(socket.AF_UNIX)
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path.unlink(missing_ok=True)
    old = os.umask(0o177)
    try:
        listening.bind(str(socket_path))
    finally:
        os.umask(old)
    listening.listen(16)
    ready, tell = os.pipe()
    with listening:
        child = _fork_keeper(site, listening, tell, log)
        os.close(tell)
        os.waitpid(child, 0)
        answer = _wait(ready)
    os.close(ready)
    if answer != b"ok":
        socket_path.unlink(missing_ok=True)
        raise _failure(answer, log)


def _wait(ready: int) -> bytes:
    """What the keeper reports: `ok`, words about what failed, or nothing in time."""
    if not select.select([ready], [], [], _START_S)[0]:
        return b"no answer in 20 s"
    return os.read(ready, 4096)


def _failure(answer: bytes, log: Path) -> NetchainError:
    words = answer.decode(errors="replace")
    if "unshare" in words or "uid_map" in words:
        return missing(
            "E030",
            f"this system does not let you make a user namespace ({words})",
            "Allow it (kernel.apparmor_restrict_unprivileged_userns=0, "
            "user.max_user_namespaces > 0, or an AppArmor profile), or run as root.",
        )
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    detail = "; ".join([w for w in (words, *last) if w])
    return NetchainError(Problem("E032", f"the keeper did not start: {detail}"), Exit.FAILED)


def _fork_keeper(site: str, listening: socket.socket, tell: int, log: Path) -> int:
    """Fork the process that makes the namespaces; it ends when the keeper itself is started."""
    mapped, map_now = os.pipe()
    unshared, tell_unshared = os.pipe()
    maps = _plan_maps()
    child = os.fork()
    if child == 0:
        try:
            os.close(map_now)
            _in_child(site, listening, tell, log, mapped, tell_unshared, maps)
        except BaseException as error:
            os.write(tell, str(error).encode())
        os._exit(1)
    os.close(mapped)
    os.close(tell_unshared)
    if os.read(unshared, 1):
        try:
            maps.write(child)
            os.write(map_now, b"1")
        except (OSError, subprocess.CalledProcessError) as error:
            os.write(tell, f"uid_map: {error}".encode())
    os.close(unshared)
    os.close(map_now)
    return child


def _in_child(
    site: str, listening: socket.socket, tell: int, log: Path, mapped: int, tell_unshared: int,
    maps: _Maps,
) -> None:  # fmt: skip
    os.setsid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    os.write(tell_unshared, b"1")
    if not os.read(mapped, 1):
        os._exit(1)
    if maps.has_range:
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    syscalls.unshare(
        syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    )  # fmt: skip
    if os.fork():
        os._exit(0)
    _standard_streams(log)
    for fd in (listening.fileno(), tell):
        os.set_inheritable(fd, True)
    os.chdir("/")
    words = [MARKER, _identity(site), str(listening.fileno()), str(tell), maps.tor, maps.person]
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "netchain.backends.netns.keeper", *words]
    )


def _standard_streams(log: Path) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


class _Maps:
    """How uids are mapped, and who tor and a person's programs are inside."""

    has_range = False
    tor = person = "-"

    def write(self, pid: int) -> None:
        """One uid: ourselves, as 0."""
        Path(f"/proc/{pid}/setgroups").write_text("deny")
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {os.geteuid()} 1")
        Path(f"/proc/{pid}/gid_map").write_text(f"0 {os.getegid()} 1")


class _RootMaps(_Maps):
    """Root: the whole range, each uid as itself."""

    has_range = True

    def __init__(self) -> None:
        self.tor = _first_user(_TOR_USERS, "65533:65533")
        invoker = os.environ.get("SUDO_UID", "")
        self.person = f"{invoker}:{os.environ.get('SUDO_GID', invoker)}" if invoker else (
            "65534:65534"
        )  # fmt: skip

    def write(self, pid: int) -> None:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{kind}").write_text("0 0 65536")


class _SubordinateMaps(_Maps):
    """A user with subordinate uids: 0 is the user, the rest come from the range."""

    has_range = True

    def __init__(self, uids: tuple[int, int], gids: tuple[int, int]) -> None:
        self._ranges = {"newuidmap": (os.geteuid(), *uids), "newgidmap": (os.getegid(), *gids)}
        self.tor = _first_user(_TOR_USERS, "101:101")
        self.person = "1000:1000"

    def write(self, pid: int) -> None:
        for program, (own, first, count) in self._ranges.items():
            words = [program, str(pid), "0", str(own), "1", "1", str(first), str(count)]
            subprocess.run(words, check=True, capture_output=True)


def _plan_maps() -> _Maps:
    if os.geteuid() == 0:
        return _RootMaps()
    uids, gids = _subordinate("/etc/subuid"), _subordinate("/etc/subgid")
    if uids and gids and min(uids[1], gids[1]) >= 65535 and _on_path("newuidmap"):
        return _SubordinateMaps((uids[0], 65535), (gids[0], 65535))
    return _Maps()


def has_uid_range() -> bool:
    """Whether programs of a site of this user have uids of their own."""
    return _plan_maps().has_range


def _on_path(program: str) -> bool:
    return any(Path(d, program).exists() for d in os.get_exec_path())


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


def _identity(site: str) -> str:
    return f"{site}@{paths.runtime_dir()}"


def find(site: str) -> Iterator[int]:
    """PIDs of our own keepers of that site (of this state directory), by their command lines."""
    wanted = [MARKER.encode(), _identity(site).encode()]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            marked = wanted[0] in words and words[words.index(wanted[0]) + 1] == wanted[1]
            if marked and entry.stat().st_uid == os.geteuid():
                yield int(entry.name)


def kill(site: str) -> bool:
    """End the site's keepers and wait until they are gone; whether there were any."""
    ended = False
    for pid in find(site):
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            signal.pidfd_send_signal(process, signal.SIGKILL)
            # Readable once it is gone with all its descriptors, its listening socket too.
            select.select([process], [], [], _START_S)
            os.close(process)
            ended = True
    return ended

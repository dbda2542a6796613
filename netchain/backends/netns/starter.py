"""Starts a keeper: user namespace, uid map, PID, mount and network namespaces, then the program.

Which uids it has inside is the work of uid_maps.py. The keeper is found again by its socket in the
runtime directory or, without that, by the marker in its command line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from netchain import marked
from netchain.backends.netns import syscalls, uid_maps
from netchain.backends.netns.uid_maps import MapError, Maps
from netchain.errors import Exit, NetchainError, Problem, missing

MARKER = "netchain-keeper"
_START_S = 20.0
_MAP_FAILED = "newuidmap: "


def start(site: str, socket_path: Path, log: Path) -> None:
    """Start the site's keeper and wait until it answers.

    Raises NetchainError: exit 5 where user namespaces are forbidden or newuidmap(1) does not work,
    exit 1 with the log's last line when it does not come up. Nothing of it is left then.
    """
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket_path.unlink(missing_ok=True)
    try:
        with _listen(socket_path) as listening:
            answer = _start(site, listening, log)
        if answer != b"ok":
            raise _failure(answer, log)
    except BaseException:
        kill(site)
        socket_path.unlink(missing_ok=True)
        raise


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(16)
    except OSError as error:
        listening.close()
        words = error.strerror or str(error)  # "AF_UNIX path too long" has no number
        hint = "name a short directory with NETCHAIN_STATE_DIR (a socket's path has 107 bytes)"
        problem = Problem("E002", f"cannot make the keeper's socket: {words}", str(path), help=hint)
        raise NetchainError(problem) from error
    finally:
        os.umask(old)
    return listening


def _start(site: str, listening: socket.socket, log: Path) -> bytes:
    """What the keeper said; the process that made its namespaces has ended."""
    ready, tell = os.pipe()
    try:
        child = _fork_keeper(site, listening, tell, log)
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(tell)
    os.waitpid(child, 0)
    try:
        return _wait(ready)
    finally:
        os.close(ready)


def _wait(ready: int) -> bytes:
    """What the keeper reports: `ok`, words about what failed, or nothing in time."""
    if not select.select([ready], [], [], _START_S)[0]:
        return b"no answer in 20 s"
    return os.read(ready, 4096)


def _failure(answer: bytes, log: Path) -> NetchainError:
    words = answer.decode(errors="replace")
    if words.startswith(_MAP_FAILED):
        return missing(
            "E034",
            f"your subordinate uids cannot be mapped ({words.removeprefix(_MAP_FAILED)})",
            "newuidmap must be setuid root and agree with /etc/subuid and /etc/subgid "
            "(subuid(5)); without your lines in them you go on with one uid.",
        )
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
    maps = uid_maps.plan()
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
        except OSError as error:
            os.write(tell, f"uid_map: {error}".encode())
        except MapError as error:
            os.write(tell, f"{_MAP_FAILED}{error}".encode())
    os.close(unshared)
    os.close(map_now)
    return child


def _in_child(
    site: str, listening: socket.socket, tell: int, log: Path, mapped: int, tell_unshared: int,
    maps: Maps,
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
    words = [
        MARKER,
        marked.identity(site),
        str(listening.fileno()),
        str(tell),
        maps.tor,
        maps.person,
    ]
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "netchain.backends.netns.keeper", *words]
    )


def _standard_streams(log: Path) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def find(site: str) -> Iterator[int]:
    """PIDs of our own keepers of that site (of this state directory)."""
    return (pid for pid, _ in marked.find(MARKER, site))


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

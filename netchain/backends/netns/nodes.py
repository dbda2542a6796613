"""Nodes: what a qube is made of on this backend.

A node is one process (`sleep`, PID 1 of its own PID namespace) that holds a network, mount, UTS
and IPC namespace. SIGCHLD is ignored before it is executed, and stays so, hence the kernel itself
reaps whatever is orphaned there. Killing it ends every process of the node and, with the last
descriptor, its network.

Inside, /run (and in a qube /tmp) is empty and its own: the host's sockets of systemd-resolved,
nscd, D-Bus, avahi and X cannot be reached; /proc and /sys show the node; resolv.conf and hosts
are its own, in an /etc of its own with all else that the machine has there.
sysctls are set before the node has any link, so that no link ever starts with a default;
afterwards /proc/sys is read-only there: the kernel asks for the machine's own root only, without
any capability, so that as root every program of uid 0 could write rp_filter and forwarding.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from netchain.backends.netns import syscalls
from netchain.backends.netns.netlink import Netlink

_NAMESPACES = (
    syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)
OWN_ETC = "/run/netchain-etc"
_NAMES = ("resolv.conf", "hosts")
_TMPFS = syscalls.MS_NOSUID | syscalls.MS_NODEV
_PROC = _TMPFS | syscalls.MS_NOEXEC


@dataclass
class Node:
    """A living node: its PID (as the keeper sees it), namespace and kept netlink socket; `role` is
    what it was made for, in its maker's words, `sysctls` what it was made with."""

    name: str
    role: str
    pid: int
    netns: int
    netlink: Netlink
    tunnels: dict[str, int] = field(default_factory=dict)
    interfaces: dict[str, int] = field(default_factory=lambda: {"lo": 1})
    next_index: int = 10
    sysctls: Mapping[str, Any] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)

    def sysctl_directory(self, part: str) -> int:
        """`part` of /proc/sys, opened while this thread stands in the node (`within`), and kept: of
        every node there is one of that name, and the kernel goes through them all to find it
        (40 us among 500)."""
        if part not in self.directories:
            self.directories[part] = os.open(f"/proc/sys/{part}", os.O_PATH | os.O_CLOEXEC)
        return self.directories[part]

    def new_interface(self, name: str) -> int:
        """An interface index that nothing in this node has, remembered by the name."""
        self.next_index += 1
        self.interfaces[name] = self.next_index
        return self.next_index

    def adopt(self, name: str) -> int:
        """Remember an interface that somebody else made here; its index, 0 when there is none."""
        try:
            index = int(read_line(self.path(f"/sys/class/net/{name}/ifindex")))
        except FileNotFoundError:
            return 0
        self.interfaces[name] = index
        self.next_index = max(self.next_index, index)
        return index

    def path(self, inside: str) -> Path:
        """A path inside the node, as the keeper reaches it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def close(self) -> None:
        self.netlink.close()
        for fd in (self.netns, *self.tunnels.values(), *self.directories.values()):
            os.close(fd)


def read_line(path: str | Path, directory: int | None = None) -> str:
    """A file of one short line, of /proc or /sys: in 6 us, of which Path.read_text() makes 58."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 1024).decode().strip()
    finally:
        os.close(fd)


def create(name: str, spec: Mapping[str, Any], own_pidns: int) -> Node:
    """A new node; `spec` has hostname, role, resolv (addresses), hosts (name to address),
    sysctls, binds (path inside to directory here), fresh (directories in memory that end with the
    node), hide (directories that it must not see).

    Raises OSError with the step that failed; then nothing is left of it.
    """
    ready, tell = os.pipe()
    syscalls.unshare(syscalls.CLONE_NEWPID)
    try:
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            _become(name, spec, tell)
    finally:  # or every later child of this process would be born there
        syscalls.setns(own_pidns, syscalls.CLONE_NEWPID)
    os.close(tell)
    with os.fdopen(ready, "rb") as pipe:
        answer = pipe.read()
    if answer != b"ok":
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise OSError(f"{name}: {answer.decode(errors='replace') or 'ended while starting'}")
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    node = Node(name, spec.get("role", ""), pid, netns, Netlink(netns))
    node.sysctls = spec.get("sysctls", {})
    return node


def within(node_netns: int, own_netns: int) -> _Within:
    """A context in which this thread stands in the node's network namespace."""
    return _Within(node_netns, own_netns)


class _Within:
    def __init__(self, there: int, back: int) -> None:
        self._there, self._back = there, back

    def __enter__(self) -> None:
        syscalls.setns(self._there, syscalls.CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        syscalls.setns(self._back, syscalls.CLONE_NEWNET)


def _become(name: str, spec: Mapping[str, Any], tell: int) -> NoReturn:
    """In the child: make the namespaces, report, and turn into the process that holds them."""
    try:
        signal.set_wakeup_fd(-1)
        syscalls.unshare(_NAMESPACES)
        syscalls.sethostname(str(spec["hostname"]))
        _mounts(spec)
        for key, value in spec.get("sysctls", {}).items():
            Path("/proc/sys", key).write_text(str(value))
        syscalls.mount("/proc/sys", "/proc/sys", flags=syscalls.MS_BIND)
        syscalls.mount(
            "none", "/proc/sys", flags=syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
        )
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.write(tell, b"ok")
        os.execv("/bin/sleep", [f"[netchain] {name}", "infinity"])  # noqa: S606
    except BaseException as error:
        os.write(tell, str(error).encode())
    sys.stderr.flush()
    os._exit(1)


def _mounts(spec: Mapping[str, Any]) -> None:
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc", _PROC)
    syscalls.mount("sysfs", "/sys", "sysfs", _PROC)
    # Opened now: what is bound may lie below a directory that is hidden next.
    binds = {
        inside: os.open(outside, os.O_PATH | os.O_CLOEXEC)
        for inside, outside in spec.get("binds", {}).items()
    }
    for hidden in spec.get("hide", ("/run",)):
        if Path(hidden).is_dir():
            mode = "1777" if hidden == "/tmp" else "0755"  # noqa: S108
            syscalls.mount("tmpfs", hidden, "tmpfs", _TMPFS, f"mode={mode},size=64m")
    for inside, fd in binds.items():
        Path(inside).mkdir(parents=True, exist_ok=True)
        syscalls.mount(f"/proc/self/fd/{fd}", inside, flags=syscalls.MS_BIND)
    for inside in spec.get("fresh", ()):
        Path(inside).mkdir(parents=True)
        syscalls.mount("tmpfs", inside, "tmpfs", _TMPFS, "mode=1777")
    _etc(spec)


def _etc(spec: Mapping[str, Any]) -> None:
    """An /etc of the node's own: its resolv.conf and hosts, and each other entry of the machine's.

    Nothing is mounted on a file of the machine's: who renames a new one over that takes the mount
    away in every namespace (tests/lab/test_machine_replaces_resolv_conf.py).
    """
    own = Path(OWN_ETC)
    own.mkdir()
    write_names(own, spec)
    machine = f"/proc/self/fd/{os.open('/etc', os.O_PATH | os.O_CLOEXEC)}"
    with os.scandir("/etc") as found:
        entries = [entry for entry in found if entry.name not in _NAMES]
    syscalls.mount("tmpfs", "/etc", "tmpfs", _TMPFS, "mode=0755,size=64m")
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
            _as_on_the_machine(entry, f"{machine}/{entry.name}")
    for name in _NAMES:
        Path("/etc", name).symlink_to(own / name)


def _as_on_the_machine(entry: os.DirEntry[str], machines: str) -> None:
    """The same link in the node's /etc, or the machine's file or directory itself."""
    if entry.is_symlink():
        Path(entry.path).symlink_to(Path(machines).readlink())
        return
    if entry.is_dir(follow_symlinks=False):
        Path(entry.path).mkdir()
    else:
        Path(entry.path).touch()
    syscalls.mount(machines, entry.path, flags=syscalls.MS_BIND | syscalls.MS_REC)


def write_names(directory: Path, spec: Mapping[str, Any]) -> None:
    """resolv.conf and hosts, in place: a reader finds the old text or the new one's beginning."""
    hosts = [("localhost", "127.0.0.1"), ("localhost", "::1"), *spec.get("hosts", {}).items()]
    texts = {
        "resolv.conf": "".join(f"nameserver {a}\n" for a in spec.get("resolv", ())),
        "hosts": "".join(f"{address} {host}\n" for host, address in hosts),
    }
    for file, text in texts.items():
        (directory / file).write_text(text)
        (directory / file).chmod(0o644)

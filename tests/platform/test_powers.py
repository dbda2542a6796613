"""What a program without capabilities may do to its network, though it is uid 0 of the site.

The programs are started by netchain's own words (spawn.py), in the namespaces of the test, as in a
site with a single uid: all are uid 0 there, so uids alone would stop nobody.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from sandbox import in_child, refusal, umount, unshare_user
from wires import OTHER_MAC, Ear, Net, join

from netchain.backends.base import User
from netchain.backends.netns import spawn, syscalls

REAL_ROOT = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == [
    "0", "0", "4294967295",
]  # fmt: skip
"""Whether the tests are run by root of the machine (and not of a container's user namespace)."""
_ONE_UID = spawn.SiteUids(None, None)
_UNPRIVILEGED = (User.TOR, User.PERSON)

_PROGRAM = """import errno, socket
from pathlib import Path
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    %s
except OSError as error:
    print(errno.errorcode[error.errno])
"""
_WEB4, _WEB6, _FORGED6 = "203.0.113.80", "2001:db8:80::80", "2001:db8:dead::7"
_FORGE4 = "udp.setsockopt(socket.SOL_IP, 15, 1); udp.bind(('198.51.100.7', 0)); "  # IP_FREEBIND
_FORGE6 = (
    "udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
    f"udp.setsockopt(socket.IPPROTO_IPV6, 78, 1); udp.bind(('{_FORGED6}', 0)); "  # IPV6_FREEBIND
)
_MARK = "udp.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 51820)"
_PRIVILEGED = {
    "mark": _MARK,
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()",
    "transparent": "udp.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)",
}
_SYSCTL = "/proc/sys/net/ipv4/conf/all/rp_filter"


def error_of(code: str, user: User) -> str:
    """What Python code in a program of that user is refused with; "" for nothing."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", _PROGRAM % code]
    words = spawn.argv(os.getpid(), command, user, _ONE_UID)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("what", _PRIVILEGED)
def test_programs_without_capabilities_are_refused(what: str) -> None:
    """vpn-proxy.nft lets only the VPN's mark pass: nobody but the VPN may set it (spawn.py).

    Nor may they send frames of their own making, past their qube's rules.
    """
    assert error_of(_PRIVILEGED[what], User.ROOT) == "", "root of the site may"
    assert [error_of(_PRIVILEGED[what], user) for user in _UNPRIVILEGED] == ["EPERM", "EPERM"]


@pytest.mark.parametrize(
    ("capability", "error"), [("net_admin", ""), ("sys_admin,+chown", "EPERM")]
)
def test_the_mark_needs_the_power_over_the_network(capability: str, error: str) -> None:
    """spawn.py takes all capabilities: this is the one that counts (since Linux 5.17 also net_raw).

    It is asked for in the user namespace that the network belongs to: see test_nested_powers.py.
    """
    command = [sys.executable, "-I", "-c", _PROGRAM % _MARK]
    words = ["setpriv", f"--bounding-set=-all,+{capability}", "--inh-caps=-all", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == error


@pytest.mark.parametrize("user", _UNPRIVILEGED)
def test_every_program_may_choose_its_interface(user: User) -> None:
    """SO_BINDTODEVICE is free: routes bind no program, the rules must hold for each interface.

    wiring.py calls the routes a second lock; the rules of firewall_rules/ match what leaves.
    """
    net, tunnel, uplink = Net(), Net(), Net()
    join(net, "wg0", tunnel, "peer")
    join(net, "eth0", uplink, "peer")
    net.ip(
        "link set lo up",
        "addr add 10.64.0.2/32 dev wg0",
        "route add default dev wg0",
        f"neigh add {_WEB4} lladdr {OTHER_MAC} dev wg0",
        f"neigh add {_WEB4} lladdr {OTHER_MAC} dev eth0",
    )
    ears = Ear(net, "wg0"), Ear(net, "eth0")
    chosen = "udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0'); "
    for choice, port in (("", 7001), (chosen, 7002)):
        with net:
            assert error_of(choice + f"udp.sendto(b'x', ('{_WEB4}', {port}))", user) == ""
    assert [ear.udp_ports() for ear in ears] == [[7001], [7002]]


@pytest.mark.parametrize("user", _UNPRIVILEGED)
def test_a_program_may_choose_its_source_address_in_ipv6_only(user: User) -> None:
    """Binding to a foreign address is free, and in IPv6 sending from it as well.

    An address proves nothing, hence `ip6 saddr @self6` in every output chain of firewall_rules/.
    """
    net, uplink = Net(), Net()
    join(net, "eth0", uplink, "peer")
    for own, target in (("10.137.0.14/32", _WEB4), ("fd09:24ef:4179::e/128 nodad", _WEB6)):
        net.ip(
            f"addr add {own} dev eth0",
            f"route add {target} dev eth0",
            f"neigh add {target} lladdr {OTHER_MAC} dev eth0",
        )
    ear = Ear(net, "eth0")
    with net:
        assert error_of(_FORGE4 + f"udp.sendto(b'x', ('{_WEB4}', 7001))", user) == "ENETUNREACH"
        assert error_of(_FORGE6 + f"udp.sendto(b'x', ('{_WEB6}', 7001))", user) == ""
    sources = [flow.source for flow in ear.heard() if flow.dport == 7001]
    assert sources == [IPv6Address(_FORGED6).packed]


@pytest.mark.parametrize("user", _UNPRIVILEGED)
@pytest.mark.parametrize("setting", [_SYSCTL, "/proc/sys/net/ipv6/conf/all/forwarding"])
def test_the_machines_root_may_write_most_settings_without_capabilities(
    setting: str, user: User
) -> None:
    """Why nodes.py makes /proc/sys read-only: where uid 0 of the site is the machine's root.

    (Where it is an ordinary user, the kernel asks for CAP_NET_ADMIN, and the mount is a second
    lock.)
    """
    assert error_of(f"Path('{setting}').write_text('1')", user) == ("" if REAL_ROOT else "EACCES")


@pytest.mark.parametrize("user", _UNPRIVILEGED)
def test_a_read_only_proc_sys_keeps_them_from_it(user: User) -> None:
    """nodes._become binds /proc/sys over itself, read-only."""
    close_settings()
    assert error_of(f"Path('{_SYSCTL}').write_text('1')", user) == "EROFS"


def close_settings() -> None:
    """As nodes._become does."""
    syscalls.mount("/proc/sys", "/proc/sys", flags=syscalls.MS_BIND)
    flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
    syscalls.mount("none", "/proc/sys", flags=flags)


def _remount() -> None:
    syscalls.mount("none", "/proc/sys", flags=syscalls.MS_BIND | syscalls.MS_REMOUNT)


def _uncover() -> None:
    umount("/proc/sys")


def _another_proc() -> None:
    """In a PID namespace of its own: whose proc may be mounted by whoever made it."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    error = in_child(lambda: refusal(lambda: syscalls.mount("proc", "/run", "proc")))
    if error:
        raise OSError(getattr(errno, error), "mount")


def nested(action: Callable[[], None]) -> str:
    """What root of a nested user namespace, with mounts of its own, is refused with."""

    def attempt() -> str:
        unshare_user()
        syscalls.unshare(syscalls.CLONE_NEWNS)
        return refusal(action)

    return in_child(attempt)


@pytest.mark.parametrize(
    ("undo", "error"), [(_remount, "EPERM"), (_uncover, "EINVAL"), (_another_proc, "EPERM")]
)
def test_a_nested_user_namespace_cannot_undo_the_read_only_mount(
    undo: Callable[[], None], error: str
) -> None:
    """A program may always make itself root of a nested one: test_nested_powers.py."""
    close_settings()
    assert nested(undo) == error
    assert in_child(lambda: refusal(undo)) == "", "the control: the site's own root can"


def test_a_nested_user_namespace_can_mount_proc_where_nothing_lies_over_it() -> None:
    """The control: a read-only /proc/sys also keeps another, writable proc from being mounted."""
    assert nested(_another_proc) == ""


def test_a_copy_of_the_mount_is_read_only_too() -> None:
    """Binding the whole of /proc elsewhere takes the read-only part along."""

    def write() -> None:
        syscalls.mount("/proc", "/run", flags=syscalls.MS_BIND | syscalls.MS_REC)
        Path(_SYSCTL.replace("/proc", "/run", 1)).write_text("1")

    assert nested(write) == ("" if REAL_ROOT else "EACCES"), "the control"
    close_settings()
    assert nested(write) == "EROFS"

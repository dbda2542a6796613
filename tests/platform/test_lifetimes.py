"""What ends with what: processes with PID 1, a network and its links with the last holder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from sandbox import wait_until
from wires import Net, Rules, join

from netchain.backends.netns import syscalls
from netchain.backends.netns.netlink import Netlink

# Two that do not want to die: in a session of their own, without a parent, deaf to signals.
_DAEMONS = """import os, signal
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(1, b"up\\n")
            signal.pause()
        os._exit(0)
signal.pause()
"""


@pytest.mark.parametrize("nested", [(), ("unshare", "--pid", "--fork")], ids=["own", "nested"])
def test_every_process_dies_with_pid_1_of_its_namespace(nested: tuple[str, ...]) -> None:
    """keeper.py: when it is killed the kernel ends its site, nodes and all; nodes.py: a node."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY)
    syscalls.unshare(syscalls.CLONE_NEWPID)
    command = [*nested, sys.executable, "-c", _DAEMONS]
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    syscalls.setns(home, syscalls.CLONE_NEWPID)
    assert first.stdout is not None
    assert [first.stdout.readline() for _ in range(2)] == [b"up\n"] * 2
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert first.stdout.read() == b"", "the pipe ends when nobody is left who could write to it"


def _by_process(net: Net) -> Callable[[], object]:
    with net:
        process = subprocess.Popen(["sleep", "infinity"])

    def release() -> None:
        process.kill()
        process.wait()

    return release


def _by_descriptor(net: Net) -> Callable[[], object]:
    kept = os.dup(net.fd)
    return lambda: os.close(kept)


def _by_netlink(net: Net) -> Callable[[], object]:
    return Netlink(net.fd).close


def _by_packet_socket(net: Net) -> Callable[[], object]:
    with net:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close


def _by_rules(net: Net) -> Callable[[], object]:
    with net:
        kept = [Rules()]
    kept[0].load("table inet netchain")
    return kept.clear


def _by_tun(net: Net) -> Callable[[], object]:
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is not open to us")
    with net:
        kept = syscalls.open_tun("wg0", syscalls.IFF_NO_PI)
    return lambda: os.close(kept)


_HOLDERS = (_by_process, _by_descriptor, _by_netlink, _by_packet_socket, _by_rules, _by_tun)


@pytest.mark.parametrize("hold", _HOLDERS, ids=lambda hold: hold.__name__)
def test_a_network_is_gone_with_its_last_holder(hold: Callable[[Net], Callable[[], None]]) -> None:
    """keeper._let_go closes all that it has of a removed node; rules.forget drops its context.

    Until then its links stay, and so does their other end in the netvm. (The control, a namespace
    that nothing holds, is let go of later and yet gone before.)
    """
    here, held, free = Net(), Net(), Net()
    join(here, "to-held", held, "eth0")
    join(here, "to-free", free, "eth0")
    release = hold(held)
    held.close()
    free.close()
    wait_until(lambda: "to-free" not in here.links(), "the end of the link to the free one")
    assert "to-held" in here.links()
    release()
    wait_until(lambda: "to-held" not in here.links(), "the end of the link to the held one")


def test_the_other_end_may_be_deleted_while_its_namespace_is_taken_down() -> None:
    """operations._delete_stale: a name is free for the next link without waiting for that."""
    here, gone, new = Net(), Net(), Net()
    join(here, "eth0", gone, "vif0")
    with here:
        index = socket.if_nametoindex("eth0")
    gone.close()
    try:
        here.netlink.apply([{"do": "delete", "index": index}])
    except OSError as error:
        assert "No such device" in str(error), "it was faster"
    join(here, "eth0", new, "vif0")
    assert here.links() == {"lo", "eth0"} and new.links() == {"lo", "vif0"}

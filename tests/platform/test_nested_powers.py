"""Root of a nested user namespace has no power over the network in which it stands.

A program in a qube can always make itself such a root: no_new_privs and an empty bounding set do
not prevent that. spawn.py starts a person's programs in one where the site has a single uid.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox import in_child, refusal, unshare_user
from wires import Net, Rules, join

from netchain.backends.netns import syscalls


class Qube:
    """A network with rules, another one, and descriptors that a program may have got hold of."""

    def __init__(self) -> None:
        self.net, self.other = Net(), Net()
        join(self.net, "eth0", self.other, "vif0")
        with self.net:
            self.rules = Rules()
        self.rules.load("table inet netchain")
        self.user = os.open("/proc/self/ns/user", os.O_RDONLY)

    def refuses(self, action: Callable[[Qube], object], *, nested: bool) -> str:
        """What the site's root in this network, or a nested root there, is refused with."""

        def attempt() -> str:
            syscalls.setns(self.net.fd, syscalls.CLONE_NEWNET)
            if nested:
                unshare_user()
            return refusal(lambda: action(self))

        return in_child(attempt)


def _permitted(words: str) -> None:
    if "Operation not permitted" in words:
        raise PermissionError(1, words)
    assert not words


def add_a_link(_: Qube) -> None:
    words = ["ip", "link", "add", "new", "type", "veth", "peer", "name", "peer"]
    _permitted(subprocess.run(words, capture_output=True, text=True, check=False).stderr)


def take_a_link_down(_: Qube) -> None:
    words = ["ip", "link", "set", "eth0", "down"]
    _permitted(subprocess.run(words, capture_output=True, text=True, check=False).stderr)


def use_a_netlink_socket_of_the_site(qube: Qube) -> None:
    qube.net.netlink.apply([{"do": "link", "index": 1}])


def load_rules(_: Qube) -> None:
    _permitted(Rules().refusal("flush ruleset"))


def use_an_nft_context_of_the_site(qube: Qube) -> None:
    _permitted(qube.rules.refusal("flush ruleset"))


def read_rules(_: Qube) -> None:
    _permitted(Rules().refusal("list ruleset"))


def open_a_packet_socket(_: Qube) -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


def open_a_raw_socket(_: Qube) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()


def set_the_mark(_: Qube) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 51820)


def enter_another_network(qube: Qube) -> None:
    syscalls.setns(qube.other.fd, syscalls.CLONE_NEWNET)


_ACTIONS = (
    add_a_link, take_a_link_down, use_a_netlink_socket_of_the_site, load_rules,
    use_an_nft_context_of_the_site, read_rules, open_a_packet_socket, open_a_raw_socket,
    set_the_mark, enter_another_network,
)  # fmt: skip


@pytest.mark.parametrize("action", _ACTIONS, ids=lambda action: action.__name__)
def test_nested_root_is_refused(action: Callable[[Qube], object]) -> None:
    """The rules, the wiring and the VPN's mark are safe from every program of a qube (spawn.py)."""
    qube = Qube()
    assert qube.refuses(action, nested=True) == "EPERM"
    assert qube.refuses(action, nested=False) == "", "the control: the site's root may"


def _leave_and_come_back(qube: Qube) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.setns(qube.net.fd, syscalls.CLONE_NEWNET)


def _become_the_sites_root(qube: Qube) -> None:
    syscalls.setns(qube.user, syscalls.CLONE_NEWUSER)


@pytest.mark.parametrize("action", [_leave_and_come_back, _become_the_sites_root])
def test_nested_root_cannot_come_back_with_power(action: Callable[[Qube], object]) -> None:
    """In a network of its own it may do everything; but there is no way back from there."""
    assert Qube().refuses(action, nested=True) == "EPERM"


def test_nested_root_has_all_power_in_a_network_of_its_own() -> None:
    """The control: that what is refused above is refused because of whose network it is."""

    def in_its_own(qube: Qube) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        for action in (add_a_link, load_rules, open_a_packet_socket, set_the_mark):
            action(qube)

    assert Qube().refuses(in_its_own, nested=True) == ""


def test_nested_root_cannot_look_into_the_processes_of_the_site() -> None:
    """/proc/PID/ns and /proc/PID/root of the node's holder (nodes.py) would be a way around."""
    holder, qube = Path("/proc", str(os.getpid())), Qube()
    for inside in ("root/run", "ns/net"):
        assert qube.refuses(lambda _, at=inside: (holder / at).stat(), nested=True) == "EACCES"
        assert qube.refuses(lambda _, at=inside: (holder / at).stat(), nested=False) == ""

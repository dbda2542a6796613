"""Unix sockets: abstract names belong to the network namespace, paths to the file system."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from sandbox import in_child, refusal, umount
from wires import Net

from netchain.backends.netns import syscalls

_ABSTRACT, _PATH = "\0netchain-test", "/run/service.sock"


def listen(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(address)
    sock.listen()
    return sock


def error_from(net: Net, address: str) -> str:
    """What a connection from inside that namespace is refused with; "" when it is there."""
    with net, socket.socket(socket.AF_UNIX) as sock:
        return refusal(lambda: sock.connect(address))


def test_an_abstract_socket_cannot_be_reached_from_another_network() -> None:
    """nodes.py: a node has a network of its own; X and D-Bus of the machine listen like this."""
    here, other = Net(), Net()
    with here:
        server = listen(_ABSTRACT)
    with server:
        assert error_from(here, _ABSTRACT) == ""
        assert error_from(other, _ABSTRACT) == "ECONNREFUSED"


def test_an_abstract_name_can_be_used_in_each_network() -> None:
    """The same name twice is no conflict: nor can one node take a name away from another."""
    here, other = Net(), Net()
    with here:
        one = listen(_ABSTRACT)
    with other:
        two = listen(_ABSTRACT)
    with one, two, here, socket.socket(socket.AF_UNIX) as client:
        client.connect(_ABSTRACT)
        one.accept()[0].close()
        two.setblocking(False)
        with pytest.raises(BlockingIOError):
            two.accept()


def test_a_socket_with_a_path_is_reached_from_every_network() -> None:
    """Why nodes.py hides /run (and in a qube /tmp): resolved, nscd, D-Bus listen there."""
    here, other = Net(), Net()
    with here:
        server = listen(_PATH)
    with server:
        assert error_from(other, _PATH) == ""


def test_an_empty_run_hides_the_socket() -> None:
    """nodes._mounts: an empty tmpfs over the directory, in the node's mount namespace only."""
    with listen(_PATH):
        assert in_child(_hide_and_connect) == "ENOENT"
        assert Path(_PATH).exists(), "it is hidden from the node only"


def _hide_and_connect() -> str:
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
    syscalls.mount("tmpfs", "/run", "tmpfs")
    with socket.socket(socket.AF_UNIX) as sock:
        return refusal(lambda: sock.connect(_PATH))


def test_a_nested_user_namespace_cannot_uncover_what_is_hidden() -> None:
    """spawn.py gives a person's programs a nested user namespace: root of that is not enough."""
    with listen(_PATH):
        assert in_child(_hide_and_uncover) == "EINVAL ENOENT"


def _hide_and_uncover() -> str:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("tmpfs", "/run", "tmpfs")
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    refused = refusal(lambda: umount("/run"))
    with socket.socket(socket.AF_UNIX) as sock:
        return f"{refused} {refusal(lambda: sock.connect(_PATH))}"

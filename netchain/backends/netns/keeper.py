"""The keeper: the small hypervisor of one site.

Theory of operation. A site is a user namespace with everything of one uplink in it (the lab with
the chains on it is one site). The keeper is PID 1 of the site's PID namespace: when it dies, for
whatever reason, the kernel ends every process of the site and takes all its namespaces down, so
the site fails closed. It holds each node's netlink socket and tunnel descriptors, supervises the
programs, asks the rule loader (a child: libnftables can abort) and answers on a 0600 Unix socket.
It decides nothing: plans are made and run by the command line (netchain/apply.py). One thread, one
selector: every operation is short. Programs run for a client (`spawn`) end with its connection.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from netchain.backends.base import Command, User
from netchain.backends.netns import nodes, rpc, spawn, syscalls
from netchain.backends.netns.client import DESCRIPTORS
from netchain.backends.netns.netlink import own_netns
from netchain.backends.netns.nodes import Node
from netchain.backends.netns.operations import Operations
from netchain.backends.netns.rules import RuleLoader
from netchain.backends.netns.services import Supervised, Supervisor
from netchain.backends.netns.tied import Tied
from netchain.model.addressing import UPLINK, UPLINKS
from netchain.wire.packet_socket import SO_TIMESTAMPNS

_CLIENT_TIMEOUT_S = 5.0


class Keeper:
    """State of a site: nodes, services, clients."""

    def __init__(self, listening: socket.socket, uids: spawn.SiteUids) -> None:
        self.uids = uids
        self.home = own_netns()
        self.nodes: dict[str, Node] = {}
        self._closed: list[Node] = []
        self._ending: dict[int, Node] = {}
        self._ended: set[int] = set()
        self.rules = RuleLoader()
        self.tied = Tied(self)
        self.services = Supervisor(self._spawn_service)
        self._stamping = _time_stamps()
        self._own_pidns = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._running: dict[int, spawn.Running] = {}
        self._selector = selectors.DefaultSelector()
        self._operations = Operations(self)
        self._stopping = False
        self._listen(listening)

    def _listen(self, listening: socket.socket) -> None:
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        register = self._selector.register
        register(listening, selectors.EVENT_READ, lambda: self._accept(listening))
        register(woken, selectors.EVENT_READ, lambda: woken.recv(4096))

    def stop(self) -> None:
        """Leave the loop; the kernel then takes the site down."""
        self._stopping = True

    def run(self) -> None:
        """Answer until told to stop."""
        while not self._stopping:
            for key, _ in self._selector.select(self.services.next_due()):
                handler: Callable[[], object] = key.data
                handler()
                self._kill_closed()
            self._reap()

    def create(self, name: str, spec: dict[str, Any]) -> Node:
        """A new node. One of that name that is just ending is waited for (tor locks its files)."""
        while name in {node.name for node in self._ending.values()}:
            self._reap_one(os.WEXITED)
            self._close_ended()
        node = nodes.create(name, spec, self._own_pidns)
        self.nodes[name] = node
        self.tied.names.add(name)
        return node

    def remove(self, name: str) -> None:
        """End every process of the node and let its network go; nothing when it is not there."""
        node = self.nodes.pop(name, None)
        if node is None:
            return
        self.services.drop(name)
        os.kill(node.pid, signal.SIGKILL)
        # Orphans of the node are ours to reap (their nsenter is dead): its end waits for them.
        while self._reap_one(os.WEXITED) != node.pid:
            pass
        self._let_go(node)

    def end(self, names: Sequence[str]) -> None:
        """Close the nodes that are there, in that order: an uplink that is down carries nothing in
        either direction, and the rules at both of its ends stay until these are gone. They are
        killed before anything else is done, but after the answer: with 500 that takes 0.2 s."""
        self._closed = [self.nodes.pop(name) for name in names if name in self.nodes]
        for node in self._closed:
            for uplink in UPLINKS:
                with contextlib.suppress(OSError):  # it went with its other end
                    if uplink in node.interfaces:
                        node.netlink.take_down(node.interfaces[uplink])

    def _kill_closed(self) -> None:
        for node in self._closed:
            os.kill(node.pid, signal.SIGKILL)
            self._ending[node.pid] = node
        for node in self._closed:
            self.services.drop(node.name)
        self._closed = []

    def _close_ended(self) -> None:
        """Close all of ours that keeps the networks of ended nodes, after `end`."""
        nodes = [self._ending.pop(pid) for pid in self._ended & self._ending.keys()]
        with contextlib.suppress(OSError):
            if nodes:
                self.rules.forget([node.netns for node in nodes])
        for node in nodes:
            with contextlib.suppress(OSError, KeyError):
                if node.role == "net":  # else a packet socket would keep the router's port
                    node.netlink.apply([{"do": "delete", "index": node.interfaces[UPLINK]}])
            node.close()

    def _let_go(self, node: Node) -> None:
        """Delete its links, since somebody's packet socket may keep the namespace, which would go
        on forwarding; close all of ours that keeps it, also when the rule loader has died."""
        for name, index in node.interfaces.items():
            with contextlib.suppress(OSError):  # it went with its other end
                if name != "lo":
                    node.netlink.apply([{"do": "delete", "index": index}])
        with contextlib.suppress(OSError):
            self.rules.forget([node.netns])
        node.close()
        self.tied.ended(node.name)

    def _reap_one(self, options: int) -> int:
        """Reap one ended child, note its PID and return it; 0 when (with WNOHANG) there is none.

        A child that somebody holds as a Popen is reaped through it, so that its status is kept.
        """
        ended = os.waitid(os.P_ALL, 0, options | os.WNOWAIT)
        if ended is None:
            return 0
        self._ended.add(ended.si_pid)
        held = [*self.services.processes(), *(r.process for r in self._running.values())]
        for process in [*held, *self.rules.processes()]:
            if process.pid == ended.si_pid:
                process.poll()
                return process.pid
        os.waitpid(ended.si_pid, 0)
        return ended.si_pid

    def _accept(self, listening: socket.socket) -> None:
        try:
            client, _ = listening.accept()
        except OSError:  # it has gone again, or there is no descriptor left: the site lives on
            return
        client.settimeout(_CLIENT_TIMEOUT_S)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._answer(client))

    def _answer(self, client: socket.socket) -> None:
        fds: list[int] = []
        try:
            message, fds = rpc.receive(client)
            if message["do"] == "spawn":
                self._spawn_for(client, message, fds)
                return
            answer, given = self._operations.run(message)
            if message.get("tied") and "error" not in answer:
                self.tied.tie(message["node"], client, message["tied"])
            rpc.send(client, answer, given)
            for fd in given:
                os.close(fd)
        except (OSError, ValueError):
            self._forget(client)
        finally:
            for fd in fds:
                os.close(fd)

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        client.close()
        self.tied.left(client)
        for running in self._running.values():
            if running.client is client and running.process.poll() is None:
                spawn.kill(running.process)

    def _spawn_for(self, client: socket.socket, message: rpc.Message, fds: list[int]) -> None:
        try:
            node = self.nodes[message["node"]]
            directory = message.get("directory", "/")
            argv = spawn.argv(
                node.pid, message["argv"], User(message["user"]), self.uids,
                terminal=message.get("terminal", False),
                directory=directory if node.path(directory).is_dir() else "/",
            )  # fmt: skip
            process = subprocess.Popen(
                argv, stdin=fds[0], stdout=fds[1], stderr=fds[2],
                env=message.get("environment") or _environment(), process_group=0,
            )  # fmt: skip
        except (KeyError, OSError) as error:
            rpc.send(client, {"error": f"cannot start: {error}"})
            return
        self._running[process.pid] = spawn.Running(client, process)

    def _spawn_service(self, s: Supervised, command: Command) -> subprocess.Popen[bytes]:
        """Start a service (or one of its setup commands) in its node, its words going to a log."""
        node = self.nodes[s.node]
        setup = command.argv != s.service.argv
        user = User.ROOT if setup else s.service.user
        environment = {**_environment(), **s.service.environment}
        pass_fds: tuple[int, ...] = ()
        if s.service.tunnel in node.tunnels and not setup:
            fd = node.tunnels[s.service.tunnel]
            environment["WG_TUN_FD"], pass_fds = str(fd), (fd,)
        stdin = os.memfd_create("stdin")
        os.write(stdin, command.stdin)
        os.lseek(stdin, 0, os.SEEK_SET)
        with s.log.open("ab") as log, os.fdopen(stdin, "rb") as source:
            # What is given a secret may quote it when it complains.
            words = subprocess.DEVNULL if command.stdin else log
            return subprocess.Popen(
                spawn.argv(node.pid, command.argv, user, self.uids),
                stdin=source, stdout=words, stderr=words, env=environment, pass_fds=pass_fds,
                process_group=0,
            )  # fmt: skip

    def _reap(self) -> None:
        while self._reap_one(os.WEXITED | os.WNOHANG):
            pass
        self._close_ended()
        gone, self._ended = self._ended, set()
        self.services.poll()
        for pid, running in list(self._running.items()):
            status = running.process.poll()
            if status is None:
                continue
            del self._running[pid]
            try:
                rpc.send(running.client, {"status": status if status >= 0 else 128 - status})
            except OSError:
                continue  # the client is gone already; its connection tells so itself
        for name, node in list(self.nodes.items()):
            if node.pid in gone:
                self.services.drop(name)
                self._let_go(self.nodes.pop(name))


def _environment() -> dict[str, str]:
    """Of programs that are given none: whoever started the keeper may have a proxy in theirs."""
    return {"PATH": os.environ["PATH"]}


def _time_stamps() -> socket.socket:
    """A socket that keeps the kernel stamping frames when they pass, for as long as it is open.

    The first socket that wants stamps turns them on a little later; until then a frame gets the
    time at which it is read (measured: tests/platform/test_packet_sockets.py), and would be judged
    by the states of that time.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def main() -> None:
    """`keeper MARKER SITE LISTENING_FD READY_FD UIDS`: started by starter.py, never by hand."""
    _marker, _site, listening, ready, tor, person = sys.argv[1:7]
    syscalls.allow_descriptors(DESCRIPTORS)
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV)
    uids = spawn.SiteUids(_ids(tor), _ids(person))
    keeper = Keeper(socket.socket(fileno=int(listening)), uids)
    os.write(int(ready), b"ok")
    os.close(int(ready))
    keeper.run()


def _ids(text: str) -> tuple[int, int] | None:
    """`UID:GID`, or `-` for none."""
    uid, _, gid = text.partition(":")
    return (int(uid), int(gid)) if gid else None


if __name__ == "__main__":
    main()

"""What a client can ask of the keeper, one method an operation.

A request is `{"do": name, …}`; the answer holds the result or `{"error": words}`. Descriptors in
an answer belong to the client afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from netchain.backends.base import Command, Service, User
from netchain.backends.netns import changes, nodes, syscalls
from netchain.backends.netns.bulk import Answer, BulkOperations
from netchain.backends.netns.events import open_events
from netchain.backends.netns.rpc import Message
from netchain.model.addressing import TUNNEL, UPLINKS
from netchain.wire.packet_socket import open_inject_socket, open_packet_socket

if TYPE_CHECKING:
    from netchain.backends.netns.keeper import Keeper


class Operations(BulkOperations):
    """The keeper's operations; each raises OSError, KeyError or ValueError when it cannot."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def run(self, message: Message) -> Answer:
        """Run one operation; never raises for what the client asked."""
        operation = getattr(self, f"do_{message.get('do')}", None)
        if operation is None:
            return {"error": f"no operation {message.get('do')!r}"}, []
        try:
            answer: Answer = operation(message)
        except KeyError as error:
            return {"error": f"there is no {error.args[0]!r}"}, []
        except (OSError, ValueError) as error:
            return {"error": str(error)}, []
        return answer

    def do_hello(self, _: Message) -> Answer:
        uids = self._keeper.uids
        return {"tor": uids.tor[0] if uids.tor else 0, "proved": uids.tor is not None}, []

    def do_create(self, message: Message) -> Answer:
        """A node; `rules` are loaded before it has any link."""
        name = message["node"]
        if name in self._keeper.nodes:
            raise FileExistsError(f"{name} is there already")
        node = self._keeper.create(name, message["spec"])
        try:
            if message.get("rules"):
                self._keeper.rules.run(node.netns, message["rules"])
            node.netlink.apply([{"do": "link", "index": 1}])
        except OSError:
            self._keeper.remove(name)
            raise
        return {}, []

    def do_remove(self, message: Message) -> Answer:
        self._keeper.remove(message["node"])
        return {}, []

    def do_wire(self, message: Message) -> Answer:
        """A veth between two nodes, then the changes of each (addresses, routes, link up); before
        that `names`, the resolv.conf and hosts of one of them."""
        if names := message.get("names"):
            self._write_names(names)
        ends = []
        for end in message["ends"]:
            node = self._keeper.nodes[end["node"]]
            _delete_stale(node, end["name"])
            index = node.new_interface(end["name"])
            ends.append({**end, "netns": node.netns, "index": index})
        first = self._keeper.nodes[ends[0]["node"]]
        first.netlink.apply([changes.veth(ends[0], ends[1])])
        for name, some in message["changes"]:
            self._configure(name, some)
        first.netlink.await_up(ends[0]["index"])
        return {}, []

    def do_configure(self, message: Message) -> Answer:
        self._configure(message["node"], message["changes"])
        return {}, []

    def do_unwire(self, message: Message) -> Answer:
        node = self._keeper.nodes[message["node"]]
        index = node.interfaces.pop(message["name"])
        node.netlink.apply([{"do": "delete", "index": index}])
        return {}, []

    def do_tunnel(self, message: Message) -> Answer:
        """A tunnel interface: the kernel's WireGuard where there is one, else a TUN kept here."""
        node, name = self._keeper.nodes[message["node"]], message["name"]
        kernel = True
        if name not in node.interfaces:
            kernel = self._make_tunnel(node, name, message["tun_flags"])
            try:
                self._configure(message["node"], message["changes"])
            except (OSError, KeyError):
                self.do_remove_tunnel(message)
                raise
        return {"kernel": kernel and name not in node.tunnels}, []

    def do_remove_tunnel(self, message: Message) -> Answer:
        """Nothing when it is not there; a TUN goes with its descriptor."""
        node, name = self._keeper.nodes[message["node"]], message["name"]
        index = node.interfaces.pop(name, None)
        if name in node.tunnels:
            os.close(node.tunnels.pop(name))
        elif index is not None:
            _delete(node, index)
        return {}, []

    def _make_tunnel(self, node: nodes.Node, name: str, tun_flags: int) -> bool:
        index = node.new_interface(name)
        try:
            node.netlink.apply([{"do": "wireguard", "name": name, "index": index}])
            return True
        except OSError:  # EOPNOTSUPP: no WireGuard in this kernel
            del node.interfaces[name]
        with nodes.within(node.netns, self._keeper.home):
            node.tunnels[name] = syscalls.open_free_tun(name, tun_flags)
        path = node.path(f"/sys/class/net/{name}/ifindex")
        node.interfaces[name] = int(path.read_text())
        return False

    def _configure(self, name: str, changes: Iterable[Mapping[str, Any]]) -> None:
        self._prepared(name, changes)()

    def _prepared(self, name: str, changes: Iterable[Mapping[str, Any]]) -> Callable[[], None]:
        node = self._keeper.nodes[name]
        return node.netlink.prepared(
            {**{k: v for k, v in c.items() if k != "dev"}, "index": node.interfaces[c["dev"]]}
            if "dev" in c
            else c
            for c in changes
        )

    def do_rules(self, message: Message) -> Answer:
        """Run nft in a node; with `closes` it is done only when no packet is on its way that the
        old rules let pass."""
        node = self._keeper.nodes[message["node"]]
        output = self._keeper.rules.run(
            node.netns, message["text"],
            json=message.get("json", False), counters=message.get("counters", False),
        )  # fmt: skip
        if message.get("closes"):
            syscalls.await_packets_in_flight()
        return {"output": output}, []

    def do_check(self, message: Message) -> Answer:
        return {"output": self._keeper.rules.check(message["text"])}, []

    def do_start(self, message: Message) -> Answer:
        data = message["service"]
        service = Service(
            data["name"], tuple(data["argv"]), User(data["user"]),
            tuple(Command(tuple(c["argv"]), bytes.fromhex(c["stdin"])) for c in data["setup"]),
            data["tunnel"], tuple(PurePosixPath(p) for p in data["owns"]), data["environment"],
            data["version"],
        )  # fmt: skip
        ids = self._keeper.uids.tor if service.user is User.TOR else None
        if ids is not None:
            node = self._keeper.nodes[message["node"]]
            for path in service.owns:
                _give(node.path(str(path)), *ids)
        self._keeper.services.add(message["node"], service, Path(message["log"]))
        return {}, []

    def do_stop_service(self, message: Message) -> Answer:
        self._keeper.services.drop(message["node"], message["name"])
        return {}, []

    def do_observe(self, message: Message) -> Answer:
        """Nodes whose name starts with the prefix: pid, uplink alias, running services."""
        found = {}
        for name, node in self._keeper.nodes.items():
            if not name.startswith(message["prefix"]):
                continue
            found[name] = {
                "pid": node.pid,
                "role": node.role,
                "uplinks": _uplinks(node),
                "services": self._services(name, node),
            }
        return {"nodes": found}, []

    def _services(self, name: str, node: nodes.Node) -> dict[str, Any]:
        services = {
            n: {
                "running": s.running, "starts": s.starts, "version": s.service.version,
                "pid": s.process.pid if s.process else 0,
            }
            for n, s in self._keeper.services.of(name).items()
        }  # fmt: skip
        if TUNNEL in node.interfaces and TUNNEL not in node.tunnels:  # the kernel's own WireGuard
            version = _alias(node, TUNNEL)
            services["wireguard"] = {"running": True, "starts": 1, "version": version, "pid": 0}
        return services

    def do_packet_socket(self, message: Message) -> Answer:
        """An AF_PACKET socket on an interface of a node: armed, or with `inject` to send with."""
        node = self._keeper.nodes[message["node"]]
        opener = open_inject_socket if message.get("inject") else open_packet_socket
        with nodes.within(node.netns, self._keeper.home):
            sock = opener(message["name"])
        return {}, [sock.detach()]

    def do_events(self, message: Message) -> Answer:
        """Sockets on which the kernel tells of changes in a node (events.py)."""
        opened = open_events(self._keeper.nodes[message["node"]], self._keeper.home)
        return {}, [sock.detach() for sock in opened]

    def do_connect(self, message: Message) -> Answer:
        """A connection to a Unix socket in a node, whose owner may be hostile: its last part is no
        link, and who does not answer is not waited for."""
        path = self._keeper.nodes[message["node"]].path(message["path"])
        there = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(f"/proc/self/fd/{there}")
        except OSError:
            sock.close()
            raise
        finally:
            os.close(there)
        return {}, [sock.detach()]

    def do_pidfd(self, message: Message) -> Answer:
        """A descriptor of the process that holds the node: each PID namespace that it is handed to
        can read its own number for it (proc(5), fdinfo)."""
        return {}, [os.pidfd_open(self._keeper.nodes[message["node"]].pid)]

    def do_adopt(self, message: Message) -> Answer:
        """Know an interface that somebody outside has put into the node; index 0 when it is not
        there (yet)."""
        return {"index": self._keeper.nodes[message["node"]].adopt(message["name"])}, []

    def do_shutdown(self, _: Message) -> Answer:
        self._keeper.stop()
        return {}, []


def _uplinks(node: nodes.Node) -> dict[str, tuple[int, str]]:
    """Group and alias of each uplink by its name: two while a switch is made."""
    found = {}
    for name in UPLINKS:
        if name in node.interfaces:
            with contextlib.suppress(OSError):  # it went meanwhile
                group = nodes.read_line(node.path(f"/sys/class/net/{name}/netdev_group"))
                found[name] = int(group), _alias(node, name)
    return found


def _alias(node: nodes.Node, interface: str) -> str:
    """The interface's alias; "" without one, also when the interface goes while it is read."""
    try:
        return nodes.read_line(node.path(f"/sys/class/net/{interface}/ifalias"))
    except OSError:
        return ""


def _delete_stale(node: nodes.Node, name: str) -> None:
    """Delete a link of that name whose other end's namespace is still being taken down."""
    if name in node.interfaces:
        _delete(node, node.interfaces.pop(name))


def _delete(node: nodes.Node, index: int) -> None:
    """Delete an interface; fine when it is gone already."""
    try:
        node.netlink.apply([{"do": "delete", "index": index}])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _give(path: Path, uid: int, gid: int) -> None:
    """Make a directory and all in it a user's own."""
    for directory, names, files in os.walk(path):
        for name in (".", *names, *files):
            os.chown(Path(directory, name), uid, gid, follow_symlinks=False)

"""Namespaces, links, rules and packets for the tests of this directory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox import DEADLINE_S

from netchain.backends.netns import changes, syscalls
from netchain.backends.netns.netlink import Netlink, own_netns
from netchain.nft.library import load_library
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow
from netchain.wire.packet_socket import open_inject_socket, open_packet_socket

ARP = 0x0806
ONE_MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
"""Of the first and the second end of every pair."""
_INDEX = iter(range(100, 100_000))


class Net:
    """A network namespace. `with net:` stands in it; it lives as long as something holds it."""

    def __init__(self) -> None:
        home = own_netns()
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self.fd = own_netns()
        self._back: list[int] = []
        syscalls.setns(home, syscalls.CLONE_NEWNET)
        os.close(home)
        self.netlink = Netlink(self.fd)
        self._fallback = self._all() - {"lo"}  # tunl0, sit0 and so on, where such modules are

    def __enter__(self) -> Net:
        self._back.append(own_netns())
        syscalls.setns(self.fd, syscalls.CLONE_NEWNET)
        return self

    def __exit__(self, *_: object) -> None:
        back = self._back.pop()
        syscalls.setns(back, syscalls.CLONE_NEWNET)
        os.close(back)

    def close(self) -> None:
        """Let go of it: the last that holds it takes it down."""
        self.netlink.close()
        os.close(self.fd)

    def ip(self, *lines: str) -> None:
        """Lines for `ip -batch` in it."""
        with self:
            ip(*lines)

    def configure(self, *changes: Mapping[str, Any]) -> None:
        """Changes as wiring.py makes them: an interface is named by `dev`."""
        with self:
            self.netlink.apply(
                {
                    **{k: v for k, v in c.items() if k != "dev"},
                    "index": socket.if_nametoindex(c["dev"]),
                }
                if "dev" in c
                else c
                for c in changes
            )

    def sysctl(self, **values: int) -> None:
        """Settings below /proc/sys/net, `__` for `/`."""
        with self:
            for name, value in values.items():
                Path("/proc/sys/net", name.replace("__", "/")).write_text(str(value))

    def links(self) -> set[str]:
        """Names of the links in it, but for those that every namespace is born with."""
        return self._all() - self._fallback

    def _all(self) -> set[str]:
        with self:
            return {name for _, name in socket.if_nameindex()}


def ip(*lines: str) -> None:
    """Lines for `ip -batch`, here. AssertionError with ip's words when it refuses one."""
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(
        ["ip", "-batch", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + text


def make_pair(one: Net, name: str, other: Net, peer: str, maker: Net | None = None) -> None:
    """A veth pair made directly in its two namespaces, both ends down."""
    ends = [
        {"netns": net.fd, "name": n, "index": next(_INDEX), "mac": mac}
        for net, n, mac in ((one, name, ONE_MAC), (other, peer, OTHER_MAC))
    ]
    (maker or one).netlink.apply([changes.veth(*ends)])


def join(one: Net, name: str, other: Net, peer: str) -> None:
    """A veth pair that works: both ends up, with no IPv6 address of their own."""
    make_pair(one, name, other, peer)
    for net, end in ((one, name), (other, peer)):
        net.sysctl(**{f"ipv6__conf__{end}__addr_gen_mode": 1})
        net.ip(f"link set {end} up")
    for net, end in ((one, name), (other, peer)):
        await_up(net, end)


def await_up(net: Net, name: str) -> None:
    with net:
        net.netlink.await_up(socket.if_nametoindex(name))


class Rules:
    """nft in the namespace where this was made."""

    def __init__(self) -> None:
        self._context: Any = load_library().Nftables()
        self._context.set_stateless_output(True)

    def refusal(self, text: str) -> str:
        """Run nft text, one transaction; what nft says against it, "" when it was taken."""
        status, _, error = self._context.cmd(text)
        return (error.strip() or "refused") if status else ""

    def load(self, text: str) -> None:
        assert not (words := self.refusal(text)), words

    def listing(self, what: str = "ruleset", *, handles: bool = False) -> str:
        self._context.set_handle_output(handles)
        status, output, error = self._context.cmd(f"list {what}")
        assert status == 0, error
        return str(output)

    def packets(self, comment: str) -> int:
        """How many packets the rule with that comment has counted."""
        self._context.set_stateless_output(False)
        self._context.set_json_output(True)
        document = json.loads(self.listing())
        self._context.set_json_output(False)
        self._context.set_stateless_output(True)
        rules = [item["rule"] for item in document["nftables"] if "rule" in item]
        [expressions] = [rule["expr"] for rule in rules if rule.get("comment") == comment]
        return sum(e["counter"]["packets"] for e in expressions if "counter" in e)


class Ear:
    """Hears what one end of a link carries, in both directions, from now on."""

    def __init__(self, net: Net, name: str) -> None:
        self._canaries = 0
        with net:
            self.socket = open_packet_socket(name)
            self._inject = open_inject_socket(name)
        self.socket.settimeout(DEADLINE_S)

    def send(self, frame: bytes) -> None:
        """Send a frame out of this end."""
        self._inject.send(frame)

    def inject(self, packet: bytes) -> None:
        """Send an IP packet from a pair's first end, past the rules and routes of its namespace."""
        self.send(build.ethernet(ONE_MAC, OTHER_MAC, build.ethertype_of(packet), packet))

    def heard(self) -> list[Flow]:
        """All frames since the last call that were sent from this end, or came in before now.

        A canary, which is sent last, ends them. For what may still be on its way to this end (sent
        or forwarded by another namespace) use `until_port`.
        """
        self._canaries += 1
        token = self._canaries.to_bytes(16)
        canary = build.canary(ONE_MAC, OTHER_MAC, token)
        self.send(canary)
        frames: list[bytes] = []
        while (frame := self.socket.recv(1 << 16)) != canary:
            frames.append(frame)
        return [decode(frame) for frame in frames]

    def udp_ports(self) -> list[int | None]:
        """The destination ports of the UDP datagrams among `heard`."""
        return [flow.dport for flow in self.heard() if flow.protocol == socket.IPPROTO_UDP]

    def until_port(self, last: int) -> list[int | None]:
        """The destination ports of the UDP datagrams up to the one to port `last`."""
        ports: list[int | None] = []
        while last not in ports:
            flow = decode(self.socket.recv(1 << 16))
            if flow.protocol == socket.IPPROTO_UDP:
                ports.append(flow.dport)
        return ports


def udp_socket(address: str, port: int) -> socket.socket:
    """A UDP socket in the namespace where the caller stands, bound to an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(DEADLINE_S)
    sock.bind((address, port))
    return sock


def send_udp(address: str, port: int, data: bytes = b"x") -> None:
    """One datagram from the namespace where the caller stands. OSError when it is refused."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, (address, port))

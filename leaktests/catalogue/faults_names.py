"""D, N17. Names while their resolver is silent, lies, or is lied about by the uplink."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from select import select

from leaktests.catalogue import faults_vpn
from leaktests.engine.fault import Bench, Faults
from netchain.backends.base import User
from netchain.lab import internet
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, address4
from netchain.model.chain import Qube, Role
from netchain.wire import build

topic = Faults()
_RESOLVER = internet.host(internet.DNS)
_SILENT = """table inet silent {
    chain i {
        type filter hook input priority 0
        meta l4proto { tcp, udp } th dport 53 counter drop
    }
}
"""
_LYING = """table inet lying {
    chain i { type nat hook prerouting priority dstnat; udp dport 53 counter redirect to 5399; }
}
"""
_LIAR = r"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 5399))
print("listens", flush=True)
while True:
    asked, who = sock.recvfrom(4096)
    end = asked.index(b"\0", 12) + 5
    label = asked[13:13 + asked[12]].decode().lower().split("-")
    is_a = asked[end - 4:end - 2] == b"\0\1" and label[0] == "lan"
    head = asked[:2] + b"\x85\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + bytes(4)
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4"
    answer = record + bytes(int(part) for part in label[1:5]) if is_a else b""
    sock.sendto(head + asked[12:end] + answer, who)
"""
"""Answers `lan-A-B-C-D-anything.lab` with the address A.B.C.D, and all else with nothing."""
_VISIT = r"""
import socket, sys
for pair in sys.argv[1:]:
    name, _, address = pair.partition("=")
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pass
    for port in (53, 80, 443):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.setblocking(False)
                try:
                    sock.connect((address, port))
                    sock.send(b"rebound")
                except OSError:
                    pass
"""
"""Goes where each name leads to; where nobody tells (tor keeps such answers back), to the address
itself, as if the answer had come another way."""
_QUICK = "RES_OPTIONS=timeout:2 attempts:1"


def _workstation(bench: Bench) -> Qube:
    return bench.qube(Role.WORKSTATION)


def _python() -> tuple[str, ...]:
    """What python leads to is seen in a qube, too."""
    return str(Path(sys.executable).resolve()), "-I", "-c"


def _asked(bench: Bench, name: str) -> str:
    """What a program of the workstation is told of the name; "" for nothing."""
    argv = ("env", _QUICK, "sh", "-c", 'getent ahostsv4 "$0" || true', name)
    return bench.run(_workstation(bench), *argv)


def _require_counted(bench: Bench, table: str, words: str) -> None:
    """That the rule of this table of the resolver's was met."""
    listing = f"list table inet {table}"
    shown = bench.netns.keeper.ask("rules", node=_RESOLVER.node, text=listing, counters=True)
    bench.require("counter packets 0 " not in shown["output"], words)


@topic.fault("D11", "the resolver falls silent while programs ask for names")
def silent(bench: Bench) -> Iterator[None]:
    """Nobody else may be asked then, by nobody."""
    keeper = bench.netns.keeper
    keeper.ask("rules", node=_RESOLVER.node, text=_SILENT)
    try:
        for number in range(2):
            name = f"silent{number}{time.time_ns()}.lab"
            bench.require(not _asked(bench, name), f"somebody knows {name}")
        _require_counted(bench, "silent", "the resolver was not asked at all")
        yield
    finally:
        keeper.ask("rules", node=_RESOLVER.node, text="delete table inet silent\n")


@topic.fault("N17", "the uplink forges answers for names, the VPN's server's and Tor's, too",
             needs=frozenset({Role.VPN_PROXY}))  # fmt: skip
def forged(bench: Bench) -> Iterator[None]:
    """No question is ever on those links: an answer can only be guessed at. Programs go on being
    told the truth, and the VPN goes on with its server."""
    wan, vpn = bench.chain.wan, bench.qube(Role.VPN_PROXY)
    assert wan is not None and vpn.netvm is not None
    flow = faults_vpn.outer_flow(bench)
    ends = {
        bench.uplink(bench.qube(Role.NET)): wan.address4,
        bench.uplink(vpn): address4(bench.chain, vpn.name),
    }
    for link, to in ends.items():
        sources = (_RESOLVER.address4, flow.server.address, ip_address("9.9.9.9"))
        packets = [
            build.udp(source, to, 53, port, _answer(name))
            for source in sources if isinstance(source, IPv4Address)
            for port in (53, 5353, 5300, 9053, 40000, flow.port)
            for name in (internet.SITE_NAME, "provider-a.lab", "pool.ntp.org")
        ]  # fmt: skip
        frames = [build.ethernet(NETVM_MAC, CLIENT_MAC, 0x0800, packet) for packet in packets]
        bench.send(link, *frames)
    told = _asked(bench, internet.SITE_NAME)
    yield
    bench.require(str(internet.host(internet.SITE).address4) in told, f"a name was lost: {told}")
    bench.require(faults_vpn.outer_flow(bench).server == flow.server, "the VPN's flow has changed")


def _answer(name: str) -> bytes:
    """An answer (RFC 1035) that has the name at the attacker's address."""
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    question = labels + b"\0\0\1\0\1"
    return (b"\x12\x34\x85\x80\0\1\0\1" + bytes(4) + question
            + b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4" + bytes((203, 0, 113, 66)))  # fmt: skip


@topic.fault("D20", "names lead to addresses of the LAN and of other qubes (rebinding)")
def rebinding(bench: Bench) -> Iterator[None]:
    """A program of the workstation goes where it is told to: not one packet may get there."""
    own = [str(address4(bench.chain, qube.name)) for qube in bench.chain.qubes[:2]]
    addresses = (*own, "192.168.1.1", "169.254.169.254", "100.64.255.254")
    names = [f"lan-{a.replace('.', '-')}-{time.time_ns()}.lab={a}" for a in addresses]
    with _liar(bench):
        bench.run(_workstation(bench), "env", _QUICK, *_python(), _VISIT, *names)
        _require_counted(bench, "lying", "nobody asked the resolver that lies")
        yield


@contextmanager
def _liar(bench: Bench) -> Iterator[None]:
    """A resolver in the place of the lab's own, which says what the name says."""
    keeper = bench.netns.keeper
    (source, tell), (listen, out) = os.pipe(), os.pipe()
    try:
        argv = [*_python(), _LIAR]
        with keeper.spawn(_RESOLVER.node, argv, (source, out, out), user=User.ROOT):
            ready, _, _ = select([listen], [], [], 20)
            bench.require(bool(ready) and os.read(listen, 99) == b"listens\n", "the liar is mute")
            keeper.ask("rules", node=_RESOLVER.node, text=_LYING)
            try:
                yield
            finally:
                keeper.ask("rules", node=_RESOLVER.node, text="delete table inet lying\n")
    finally:
        for fd in (source, tell, listen, out):
            os.close(fd)

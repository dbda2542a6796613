"""G. What runs in the gateways beside the chain's own programs: sockets bound past the routes, and
a container with a network of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from leaktests.engine.fault import Bench, Faults
from leaktests.engine.target import vpn_settings
from netchain.backends.base import User
from netchain.model.chain import Qube, Role
from netchain.vpn.wireguard import FWMARK

topic = Faults()
BOUND, INNER = b"netchain bound socket", b"netchain container"
"""What these programs send."""
_TARGETS = ("192.0.2.1", "198.51.100.80", "203.0.113.53", "2001:db8:dead::1")
_PORTS = ("53", "443", "51820")
_BOUND = r"""
import socket, struct, subprocess, sys
load, mark, targets, ports = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(), sys.argv[4].split()
lines = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True).stdout.splitlines()
own = {line.split()[3].partition("/")[0] for line in lines}
devices = {line.split()[1] for line in lines} - {"lo"}
sent = refused = marked = 0

def option(sock, *setting):
    try:
        sock.setsockopt(*setting)
        return True
    except OSError:
        return False

def go(family, kind, there, device, value, source):
    global sent, refused, marked
    with socket.socket(family, kind) as sock:
        sock.setblocking(False)
        option(sock, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        marked += bool(value) and option(sock, socket.SOL_SOCKET, 36, value)
        try:
            if source:
                sock.bind((source, 0))
            if kind == socket.SOCK_STREAM:
                sock.connect(there)
            elif device:
                index = socket.if_nametoindex(device)
                info = struct.pack("=i4s4s", index, bytes(4), bytes(4))
                level, name = socket.IPPROTO_IP, 8
                if family == socket.AF_INET6:
                    info, level, name = struct.pack("=16si", bytes(16), index), 41, 50
                sock.sendmsg([load.encode()], [(level, name, info)], 0, there)
            else:
                sock.sendto(load.encode(), there)
            sent += 1
        except BlockingIOError:
            sent += 1
        except OSError:
            refused += 1

for address in targets:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sources = ["", *(a for a in own if (":" in a) is (":" in address))]
    for port in ports:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for device in ("", *devices):
                for value in (0, mark, 1):
                    for source in sources:
                        go(family, kind, (address, int(port)), device, value, source)
print(sent, refused, marked)
"""


def gateways(bench: Bench) -> list[Qube]:
    return [qube for qube in bench.chain.qubes if qube.role is not Role.WORKSTATION]


def _python(*words: str) -> list[str]:
    """What python leads to is seen in a qube, too."""
    return [str(Path(sys.executable).resolve()), "-I", "-c", *words]


@topic.fault("G02", "programs of every gateway bind sockets to interfaces, marks and addresses")
def bound(bench: Bench) -> Iterator[None]:
    """As root and without capabilities. The VPN's own words to its own port are left out: a
    program of its uid with its mark is the VPN (docs/known-issues.md, one uid)."""
    settings = vpn_settings(bench.chain)
    targets = [(" ".join(_TARGETS), " ".join(_PORTS))]
    targets += [(str(settings.endpoint.address), "53 443")] if settings else []
    for qube in gateways(bench):
        for addresses, ports in targets:
            argv = _python(_BOUND, BOUND.decode(), str(FWMARK), addresses, ports)
            tried = [int(word) for word in bench.run(qube, *argv).split()]
            bench.require(tried[2] > 0, f"no socket of {qube.name} could be marked")
            bench.require(sum(tried[:2]) > 100, f"too little was tried in {qube.name}")
            node = f"{bench.chain.name}:{qube.name}"
            done = bench.netns.keeper.execute(node, argv, b"", 20, User.PERSON)
            bench.require(bool(done.stdout), f"nothing was tried without capabilities: {node}")
    yield


_CONTAINER = r"""
ip netns add inner
ip link add box type veth peer name eth0 netns inner
ip link set box up
ip addr add 172.30.0.1/24 dev box
ip addr add fd00:30::1/64 dev box nodad
ip -n inner link set eth0 up
ip -n inner addr add 172.30.0.2/24 dev eth0
ip -n inner addr add fd00:30::2/64 dev eth0 nodad
ip -n inner route add default via 172.30.0.1
ip -n inner route add default via fd00:30::1
nft -f - <<EOF
table inet container {
    chain out { type nat hook postrouting priority srcnat - 1; oifname "$0" masquerade; }
    chain pass { type filter hook forward priority -10; iifname "box" accept; }
}
EOF
"""
_GONE = "ip link del box; ip netns del inner; nft delete table inet container; true"
_SENDS = r"""
import socket, sys
for address in sys.argv[2].split():
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in (53, 443, 51820):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(family, kind) as sock:
                sock.setblocking(False)
                try:
                    sock.connect((address, port))
                    sock.send(sys.argv[1].encode())
                except OSError:
                    pass
"""


@topic.fault("G10", "root of every gateway makes a container with a network of its own in it")
def container(bench: Bench) -> Iterator[None]:
    """As Docker does, with masquerading and an accept of its own."""
    try:
        for qube in gateways(bench):
            bench.run(qube, "sh", "-ec", _CONTAINER, bench.uplink_name(qube))
            argv = _python(_SENDS, INNER.decode(), " ".join(_TARGETS))
            for _ in range(3):
                bench.run(qube, "ip", "netns", "exec", "inner", *argv)
            came = int(bench.run(qube, "cat", "/sys/class/net/box/statistics/rx_packets"))
            bench.require(came > 10, f"nothing came out of the container in {qube.name}")
        yield
    finally:
        for qube in gateways(bench):
            bench.run(qube, "sh", "-c", _GONE)

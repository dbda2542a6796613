"""A tunnel whose program dies is a black hole, and one that is gone leaves no other way out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from sandbox import refusal, wait_until
from wires import Ear, Net, join, send_udp

from netchain.backends.base import Tunnel
from netchain.backends.netns import syscalls, wiring
from netchain.model import addressing
from netchain.model.chain import Chain

pytestmark = pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="/dev/net/tun is not open to us"
)
_ADDRESSES = ("10.64.0.2", "fd00:64::2")
_WEB = ("203.0.113.80", "2001:db8:80::80")
_ENDPOINT = "198.18.7.1"
_VPN_PROGRAM = """import os, select, signal, sys
fd = int(sys.argv[1])
select.select([fd], [], [])
print(len(os.read(fd, 65536)), flush=True)
signal.pause()
"""
_MORE_THAN_A_QUEUE_HOLDS = 600


class VpnQube:
    """sys-proxyvm as netchain wires it: eth0 to its netvm, and a TUN whose descriptor we hold."""

    def __init__(self, chain: Chain) -> None:
        self.net, self.netvm = Net(), Net()
        join(self.net, "eth0", self.netvm, "vif0")
        self.net.configure(*wiring.client_end(chain, chain["sys-proxyvm"]))
        self.gateway = addressing.address4(chain, "sys-firewall")
        with self.net:
            self.tunnel = syscalls.open_tun("wg0", syscalls.IFF_NO_PI)
        self.net.configure(*wiring.tunnel(Tunnel("wg0", tuple(map(ip_address, _ADDRESSES)))))
        self.eth0 = Ear(self.net, "eth0")

    def start(self) -> subprocess.Popen[bytes]:
        """A program that has read a packet from the tunnel and now waits."""
        command = [sys.executable, "-c", _VPN_PROGRAM, str(self.tunnel)]
        program = subprocess.Popen(command, pass_fds=[self.tunnel], stdout=subprocess.PIPE)
        self.send(7000)
        assert program.stdout is not None
        assert int(program.stdout.readline()) > 20
        return program

    def send(self, port: int) -> None:
        with self.net:
            for address in _WEB:
                send_udp(address, port)

    def lose_the_tunnel(self) -> None:
        os.close(self.tunnel)
        wait_until(lambda: "wg0" not in self.net.links(), "the end of the TUN device")

    def connect(self, address: str, kind: socket.SocketKind) -> str:
        """The error of a connect from in here; "" for none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.net, socket.socket(family, kind) as sock:
            return refusal(lambda: sock.connect((address, 443)))


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-before-tor")


def test_a_tunnel_outlives_its_program_and_swallows_everything(chain: Chain) -> None:
    """services.py: the keeper holds the TUN, so a crash of wireguard-go is a black hole.

    Also where another default route is waiting, and when the queue is full.
    """
    qube = VpnQube(chain)
    qube.net.ip(f"route add default via {qube.gateway} dev eth0 onlink metric 1000")
    program = qube.start()
    program.kill()
    program.wait()
    qube.eth0.heard()
    for _ in range(_MORE_THAN_A_QUEUE_HOLDS):
        qube.send(7001)
    assert qube.eth0.udp_ports() == []
    assert "wg0" in qube.net.links()


def test_the_next_program_goes_on_with_the_same_descriptor(chain: Chain) -> None:
    """services.py starts it again with the descriptor that the keeper holds."""
    qube = VpnQube(chain)
    for _ in range(2):
        program = qube.start()
        program.kill()
        program.wait()


def test_without_a_descriptor_the_tunnel_and_its_routes_are_gone(chain: Chain) -> None:
    """The control of the first test: why the keeper must hold it."""
    qube = VpnQube(chain)
    qube.net.ip(f"route add default via {qube.gateway} dev eth0 onlink metric 1000")
    qube.lose_the_tunnel()
    with qube.net:
        send_udp(_WEB[0], 7001)
    assert qube.eth0.udp_ports() == [7001]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
@pytest.mark.parametrize("address", _WEB, ids=["ipv4", "ipv6"])
def test_nothing_takes_another_way_when_the_tunnel_is_gone(
    address: str, kind: socket.SocketKind, chain: Chain
) -> None:
    """wiring.py: no default route but the tunnel's, `unreachable` behind it; the second lock."""
    qube = VpnQube(chain)
    assert qube.connect(address, socket.SOCK_DGRAM) == ""
    qube.lose_the_tunnel()
    assert qube.connect(address, kind) in ("EHOSTUNREACH", "ENETUNREACH")
    with qube.net:
        send_udp(_ENDPOINT, 51820)
    assert qube.eth0.udp_ports() == [51820], "the way to the VPN's endpoint is still there"


def test_unreachable_ends_the_search_for_a_route(chain: Chain) -> None:
    """What `unreachable` does that no route at all does not: later tables are not asked.

    It does not stop a default route of the same table, whose metric is always better: nothing but
    the tunnel may have one, and the rules are the first lock.
    """
    qube = VpnQube(chain)
    qube.net.ip(f"route add default via {qube.gateway} dev eth0 onlink table default")
    qube.lose_the_tunnel()
    assert qube.connect(_WEB[0], socket.SOCK_DGRAM) == "EHOSTUNREACH"
    qube.net.ip(f"route add default via {qube.gateway} dev eth0 onlink metric 4294967293")
    assert qube.connect(_WEB[0], socket.SOCK_DGRAM) == ""
    qube.net.ip("route del default metric 4294967293", "route del unreachable default")
    assert qube.connect(_WEB[0], socket.SOCK_DGRAM) == "", "table default is asked now"

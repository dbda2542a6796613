"""The first packets over a new link: no address to detect first, no neighbour to look for."""

from __future__ import annotations

import socket
import subprocess

import pytest
from sandbox import refusal, wait_until
from wires import ARP, ONE_MAC, OTHER_MAC, Ear, Net, join, udp_socket

from netchain.wire.flow import Flow

_SOLICITATION, _ADVERTISEMENT = 135, 136
_MAC = {"eth0": OTHER_MAC, "vif0": ONE_MAC}
"""Of the other end of each."""
_OWN = {4: ("10.137.0.14", "10.137.0.13"), 6: ("fd09:24ef:4179::e", "fd09:24ef:4179::d")}


class Link:
    """eth0 - vif0, with netchain's own changes: addresses, routes, neighbours (wiring.py)."""

    def __init__(self, version: int, *, neighbours: bool) -> None:
        self.client, self.netvm = Net(), Net()
        self.own, self.other = _OWN[version]
        join(self.client, "eth0", self.netvm, "vif0")
        self.ear = Ear(self.netvm, "vif0")
        _configure(self.client, "eth0", self.own, self.other, neighbours)
        _configure(self.netvm, "vif0", self.other, self.own, neighbours)

    def exchange(self) -> list[Flow]:
        """A datagram there and one back; what was on the wire."""
        wait_until(lambda: _is_local(self.netvm, self.other), "the route to the own address")
        wait_until(lambda: _is_local(self.client, self.own), "the route to the own address")
        with self.client:
            near = udp_socket(self.own, 7000)
        with self.netvm:
            far = udp_socket(self.other, 7001)
        with near, far:
            near.sendto(b"there", (self.other, 7001))
            far.recv(100)
            far.sendto(b"back", (self.own, 7000))
            near.recv(100)
        return self.ear.heard()


def _configure(net: Net, interface: str, own: str, other: str, neighbours: bool) -> None:
    length = 128 if ":" in own else 32
    changes = [
        {"do": "addr", "dev": interface, "address": f"{own}/{length}"},
        {"do": "route", "dev": interface, "to": f"{other}/{length}"},
    ]
    if neighbours:
        changes.append({"do": "neigh", "dev": interface, "address": other, "mac": _MAC[interface]})
    net.configure(*changes)


def _is_local(net: Net, address: str) -> bool:
    """Whether what comes for that address is delivered."""
    with net:
        return f"local {address} " in _routes(":" in address)


def _routes(ipv6: bool) -> str:
    family = "-6" if ipv6 else "-4"
    command = ["ip", family, "route", "show", "table", "local"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def looks_for_a_neighbour(flow: Flow) -> bool:
    return flow.ethertype == ARP or (
        flow.protocol == socket.IPPROTO_ICMPV6 and flow.icmp_type in (_SOLICITATION, _ADVERTISEMENT)
    )


@pytest.mark.parametrize("version", [4, 6])
def test_permanent_neighbours_leave_nothing_to_look_for(version: int) -> None:
    """wiring.py gives each end the other's MAC: no ARP race, no NDP that rules must allow."""
    flows = Link(version, neighbours=True).exchange()
    assert [f.dport for f in flows if f.protocol == socket.IPPROTO_UDP] == [7001, 7000]
    assert not [flow for flow in flows if looks_for_a_neighbour(flow)]


@pytest.mark.parametrize("version", [4, 6])
def test_without_them_the_first_packet_is_a_question(version: int) -> None:
    """The control of the test above."""
    flows = Link(version, neighbours=False).exchange()
    first = [flow.protocol == socket.IPPROTO_UDP for flow in flows].index(True)
    assert any(looks_for_a_neighbour(flow) for flow in flows[:first])


def test_an_address_without_detection_can_be_used_at_once() -> None:
    """netlink._addr sets IFA_F_NODAD: tor may bind and WireGuard may send in the next moment.

    For oneself only: the route by which packets to the address are delivered is made in a work
    queue, a moment later (in 2 of 30 tries it was not there yet).
    """
    client, netvm = Net(), Net()
    client.sysctl(ipv6__conf__default__dad_transmits=1000)  # detection would never end
    join(client, "eth0", netvm, "vif0")
    own, other = _OWN[6]
    _configure(client, "eth0", own, other, neighbours=True)
    with client, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((other, 7000))
        assert sock.getsockname()[0] == own, "it is the source of what is sent"
    with client:
        udp_socket(own, 7000).close()


def test_detection_keeps_an_address_from_being_used() -> None:
    """The control: what IFA_F_NODAD is for; without it, an address is tentative at first."""
    client, netvm = Net(), Net()
    client.sysctl(ipv6__conf__default__dad_transmits=1000)
    join(client, "eth0", netvm, "vif0")
    client.ip(f"addr add {_OWN[6][0]}/128 dev eth0")
    with client:
        assert refusal(lambda: udp_socket(_OWN[6][0], 7000)) == "EADDRNOTAVAIL"


def test_with_dad_transmits_0_no_address_is_asked_for() -> None:
    """model/sysctls.py sets it as well: the address becomes usable, and nothing was sent for it.

    Not at once, however: it is tentative until a work queue has run. Only IFA_F_NODAD spares that.
    """
    client, netvm = Net(), Net()
    client.sysctl(ipv6__conf__default__dad_transmits=0)
    join(client, "eth0", netvm, "vif0")
    ear, own = Ear(client, "eth0"), _OWN[6][0]
    client.ip(f"addr add {own}/128 dev eth0")
    with client:
        wait_until(lambda: refusal(lambda: udp_socket(own, 7000).close()) == "", "a usable address")
    assert not [flow for flow in ear.heard() if looks_for_a_neighbour(flow)]

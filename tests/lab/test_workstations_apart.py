"""One workstation tries everything against another below the same Tor gateway.

The chain has its rules and links, no programs: what the gateway passes on, or answers towards the
other one, would be seen on that one's link. Not covered: who asks tor itself about another client
(tests/lab/test_tor_clients.py: no command reaches it), and timing.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import product

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.demo.control import OPEN_RULES
from netchain.lab.lab import SITE
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, address4, address6
from netchain.model.allowed import Link
from netchain.model.chain import Address, Chain
from netchain.model.names import QubeName
from netchain.prove import Sensor
from netchain.wire import build

pytestmark = pytest.mark.lab
GATEWAY, ONE, OTHER = (QubeName(n) for n in ("sys-whonix", "anon-mail", "anon-chat"))
ONES, OTHERS = Link(ONE, GATEWAY), Link(OTHER, GATEWAY)
TELL = b"\x8d\x17from one workstation"
PORTS = (22, 53, 80, 5300, 9040, 9050, 9051, 9150, 40000)
BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("many-workstations")


def everything(chain: Chain) -> Iterator[bytes]:
    """From the one's link: to the other, as the other, about the other; each to three MACs."""
    for packet in packets(chain):
        for mac in (NETVM_MAC, CLIENT_MAC, BROADCAST):
            yield build.ethernet(CLIENT_MAC, mac, build.ethertype_of(packet), packet)
    yield from about_the_other(chain)


def packets(chain: Chain) -> Iterator[bytes]:
    for find, everybody, elsewhere in (
        (address4, ("10.137.255.255", "255.255.255.255", "224.0.0.1", "224.0.0.251"), "192.0.2.1"),
        (address6, ("ff02::1", "ff02::fb", "ff05::2"), "2001:db8::1"),
    ):
        one, other, gateway = (find(chain, name) for name in (ONE, OTHER, GATEWAY))
        to_it = [(one, other), *((one, ip_address(all_)) for all_ in everybody)]
        as_it = [(other, gateway), (other, ip_address(elsewhere)), (other, one), (other, other)]
        as_gateway = [(gateway, other), (ip_address(elsewhere), other)]
        for ends in (*to_it, *as_it, *as_gateway):
            yield from each_protocol(*ends)


def each_protocol(source: Address, destination: Address) -> Iterator[bytes]:
    yield build.ping(source, destination, TELL)
    for port, flags in product(PORTS, ("S", "SA", "A", "R", "FA")):
        yield build.tcp(source, destination, 40000, port, flags, bytes(8), TELL)
    for port in PORTS:
        yield build.udp(source, destination, 40000, port, TELL)
        yield build.udp(source, destination, port, 40000, TELL)


def about_the_other(chain: Chain) -> Iterator[bytes]:
    """Who has its address; and: it is mine."""
    four, six = str(address4(chain, OTHER)), str(address6(chain, OTHER))
    own = str(address4(chain, ONE))
    for mac, (operation, source) in product(
        (NETVM_MAC, BROADCAST), ((1, own), (1, four), (2, four))
    ):
        yield bytes(Ether(src=CLIENT_MAC, dst=mac)
                    / ARP(op=operation, hwsrc=CLIENT_MAC, psrc=source, pdst=four))  # fmt: skip
    for source in (str(address6(chain, ONE)), six):
        ip = IPv6(src=source, dst="ff02::1", hlim=255)
        taken = ICMPv6ND_NA(tgt=six, O=1) / ICMPv6NDOptDstLLAddr(lladdr=CLIENT_MAC)
        for about in (ICMPv6ND_NS(tgt=six), taken):
            yield bytes(Ether(src=CLIENT_MAC, dst=NETVM_MAC) / ip / about)


def tried(chain: Chain, sensor: Sensor) -> dict[str, list[bytes]]:
    """All that the two links and the gateway's uplink carried meanwhile, but for our own canaries
    and what the one has sent on its own link."""
    uplink = Link(GATEWAY, chain[GATEWAY].netvm)
    for link in (ONES, OTHERS, uplink):
        sensor.arm(chain, link)
    mark, sent = sensor.tap.mark(), list(everything(chain))
    for start in range(0, len(sent), 200):
        for frame in sent[start : start + 200]:
            sensor.inject(ONES.name, frame)
        assert sensor.settle() == []
    assert sensor.settle() == []
    heard = {link.name: [c.frame for c in sensor.tap.frames(link.name, mark)]
             for link in (ONES, OTHERS, uplink)}  # fmt: skip
    assert set(sent) <= set(heard[ONES.name])  # a probe that was not sent proves nothing
    canary = build.CANARY_ETHERTYPE.to_bytes(2)
    mine = set(sent)
    return {
        name: [f for f in frames if f not in mine and f[12:14] != canary]
        for name, frames in heard.items()
    }


def neighbours(backend: NetnsBackend, chain: Chain) -> bytes:
    return backend.execute(chain, GATEWAY, ["ip", "neigh"]).stdout


def test_none_of_it_reaches_the_other(chain: Chain, backend: NetnsBackend) -> None:
    """Nor leaves the gateway; nor changes whom it takes for the other one."""
    before = neighbours(backend, chain)
    assert str(address4(chain, OTHER)).encode() in before
    with Sensor(backend) as sensor:
        found = tried(chain, sensor)
    assert found[OTHERS.name] == []
    assert found[Link(GATEWAY, chain[GATEWAY].netvm).name] == []
    assert neighbours(backend, chain) == before


def test_the_one_learns_nothing_of_the_other(chain: Chain, backend: NetnsBackend) -> None:
    """What comes back is the same whether the other one is there or not."""
    with Sensor(backend) as sensor:
        there = tried(chain, sensor)[ONES.name]
    backend.remove(chain, OTHER)
    with Sensor(backend) as sensor:
        sensor.arm(chain, ONES)
        mark = sensor.tap.mark()
        for frame in everything(chain):
            sensor.inject(ONES.name, frame)
        assert sensor.settle() == []
        heard = [c.frame for c in sensor.tap.frames(ONES.name, mark) if c.outgoing]
    assert {kind(frame) for frame in there} == {kind(frame) for frame in heard}


def kind(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Ethertype and, of IP, whom it names: numbers of packets are chance."""
    return frame[12:14], frame[26:34], frame[38:54]


def test_with_the_gateway_opened_it_is_seen(chain: Chain, backend: NetnsBackend) -> None:
    """The control: a gateway that routes hands it on, in both families."""
    backend.load_rules(chain, GATEWAY, OPEN_RULES)
    let_forward()
    with Sensor(backend) as sensor:
        deadline = time.monotonic() + 20
        seen: set[bytes] = set()
        while len(seen) < 2 and time.monotonic() < deadline:
            seen |= {f[12:14] for f in tried(chain, sensor)[OTHERS.name] if TELL in f}
    assert seen == {b"\x08\0", b"\x86\xdd"}


def let_forward() -> None:
    """The gateway's kernel forwards: /proc/sys can be written to past its own mounts only."""
    (keeper,) = starter.find(SITE)
    holder = ["pgrep", "-P", str(keeper), "-f", rf"^\[netchain\] many-workstations:{GATEWAY}"]
    pid = subprocess.run(holder, capture_output=True, text=True, check=True).stdout.strip()
    keys = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
    script = "".join(f"echo 1 > /proc/sys/{key};" for key in keys)
    enter = ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]
    subprocess.run([*enter, "sh", "-ec", script], check=True)

"""Runs made by hand: a clean one, one that leaks, one that is inconclusive."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from chains import chain
from scapy.packet import Packet, Raw

from leaktests.engine.outcome import Control, Run, Tap, Trial
from leaktests.engine.place import places
from leaktests.engine.probe import Aim, Probe
from leaktests.engine.shot import Shot
from leaktests.engine.sweep import Found, Sweep
from leaktests.engine.target import targets
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, address4
from netchain.model.allowed import Direction, links, tunnels
from netchain.model.chain import Address, Chain
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import LinkType
from netchain.wire.judge import Leak, LinkVerdict

CHAIN = chain("vpn-before-tor")
STARTED = 1_760_000_000.0
START_NS = 1_760_000_000_000_000_000
WAN4, WAN6 = IPv4Address("100.64.0.2"), IPv6Address("2001:db8:100::2")
ENDPOINT = IPv4Address("198.18.7.1")
NOBODY = IPv4Address("192.0.2.1")
RELAY = IPv4Address("198.18.40.9")
MARKER = bytes.fromhex("0123456789abcdef")


def _build(aim: Aim) -> Packet:
    return Raw(aim.marker)


ECHO = Probe("P01", "an ICMP echo request", _build)
DNS = Probe("P05", "a DNS question over UDP", _build)
SYN = Probe("P14", "a TCP SYN to a port that programs use", _build)
PROBES = (ECHO, DNS, SYN)
CONDITIONS = {
    "backend": "netns",
    "kernel": "Linux 6.1.0-18-amd64",
    "versions": "netchain 0.1.0, nftables 1.0.6, tor 0.4.9.11",
    "rules": "those of the profile in all 5 qubes (sha256 5f2b7c1e9a04d3b8c6e1f70a2d9b4c35)",
    "proof": "all 5 hops fail closed, before the first probe",
    "clock": "was not set meanwhile",
}
SKIPPED = (
    ("H07 WebRTC finds the address", "needs a browser"),
    ("V07 a rekey after 120 s", "only with --full"),
)


def shot(probe: Probe, link: str, within: Chain = CHAIN) -> Shot:
    """A shot of the probe up that link, to nobody in particular."""
    place = next(p for p in places(within) if p.link.name == link and p.direction is Direction.UP)
    return Shot(probe, place, targets(within)["R01"][0], MARKER, probe.id.encode())


def shots(within: Chain = CHAIN) -> tuple[Shot, ...]:
    inner = [link.name for link in links(within) if link.netvm is not None]
    return tuple(shot(probe, link, within) for probe in PROBES for link in inner)


def leak(
    link: str, ms: float, packet: bytes, direction: Direction = Direction.UP, *, raw: bool = False
) -> Leak:
    """The packet, seen on that link so many ms after the run began."""
    kind = LinkType.RAW_IP if raw else LinkType.ETHERNET
    frame = packet
    if not raw:
        frame = build.ethernet(CLIENT_MAC, NETVM_MAC, build.ethertype_of(packet), packet)
    time_ns = START_NS + round(ms * 1_000_000)
    return Leak(link, time_ns, direction, decode(frame, kind), frame)


def dns(source: Address = WAN4, to: Address = NOBODY, sport: int = 20005) -> bytes:
    return build.udp(source, to, sport, 53, MARKER + b"\x07example\0" + bytes(120))


def sweep(state: str, *found: Found, **more: object) -> Sweep:
    judged = tuple(LinkVerdict(link.name, 400, ()) for link in links(CHAIN))
    made = Sweep(state, Counter(shot.probe for shot in shots()), judged, found, (), (), 1.25)
    return replace(made, **more)  # type: ignore[arg-type]


def taps(within: Chain = CHAIN, *, deaf: str = "", lost: int = 0) -> tuple[Tap, ...]:
    names = [link.name for link in (*links(within), *tunnels(within))]
    return tuple(
        Tap(name, 1200 + 10 * n, name != deaf, lost if name == deaf else 0)
        for n, name in enumerate(names)
    )


def clean() -> Run:
    trial = Trial("V01", "wireguard-go is killed", (), (), (), 5000, 3.2)
    return Run(
        CHAIN, 7, STARTED, 41.0, "netchain leaktest vpn-before-tor",
        sweeps=(sweep("ready"), sweep("vpn-down")), trials=(trial,),
        control=Control(3, (), "sys-proxyvm opened"), taps=taps(),
        skipped=SKIPPED, conditions=CONDITIONS,
    )  # fmt: skip


def leaking() -> Run:
    """DNS passes the VPN while it is down, in 12 packets; a flow passes it when it is killed; a
    program of the Tor gateway speaks UDP into the tunnel; the VPN's own server is pinged."""
    down = [
        Found(leak("isp", 1204 + n, dns(sport=20005 + n)), shot(DNS, "sys-whonix--sys-proxyvm"))
        for n in range(12)
    ]
    own = address4(CHAIN, "sys-whonix")
    inner = [
        Found(leak("sys-proxyvm--sys-firewall", 1203.5, dns(own)), down[0].shot),
        Found(leak("sys-proxyvm--tunnel", 1500, dns(IPv4Address("10.64.0.2")), raw=True), None),
    ]
    six = build.tcp_syn(WAN6, IPv6Address("2001:db8:dead::1"), 20090, 443)
    killed = [
        Found(leak("isp", 9000.25, build.ping(WAN4, ENDPOINT, MARKER)), None),
        Found(leak("isp", 9004.5, build.tcp_syn(WAN4, RELAY, 40000, 9001)), None),
        Found(leak("isp", 9012.75, six), None),
    ]
    trial = Trial("V01", "wireguard-go is killed", (), tuple(killed), (), 5000, 3.2)
    return replace(
        clean(), sweeps=(sweep("ready"), sweep("vpn-down", *down, *inner)), trials=(trial,)
    )


def inconclusive() -> Run:
    """A deaf tap, shots that were not sent, a control that did not show all."""
    unsent = tuple((one, "it was not heard on its own link") for one in shots()[:2])
    doubtful = sweep("vpn-down", unsent=unsent)
    return replace(
        clean(), sweeps=(sweep("ready"), doubtful), taps=taps(deaf="isp", lost=3),
        control=Control(2, ("P14 a TCP SYN to a port that programs use",)),
    )  # fmt: skip


RUNS = {"clean": clean, "leaking": leaking, "inconclusive": inconclusive}

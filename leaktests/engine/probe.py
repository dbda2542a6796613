"""A probe is data: an id of the catalogue, a sentence, and the packets that it sends.

A topic of the catalogue declares probes with `@topic.probe(...)` over a small function from an
`Aim` (from where to where, in which family) to packets: of scapy, or plain ones as bytes. A packet
that begins with Ether is sent as it is; any other gets the Ethernet header of its place. A probe
never names the taps that must be silent: `allowed()` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot3, Ether
from scapy.packet import Packet, Raw

from leaktests.engine.place import Place
from leaktests.engine.target import DEFAULT, Target, vpn_settings
from netchain.model.allowed import Direction
from netchain.model.chain import Address, Endpoint, Role
from netchain.wire import build

Made: TypeAlias = "Packet | bytes"
"""A packet of scapy, or an IP packet as bytes."""
Build = Callable[["Aim"], "Made | Iterable[Made]"]
EVERYWHERE = ("*",)
"""All destination classes of the chain, each address once (R03 and R06 are R02's)."""


@dataclass(frozen=True)
class Aim:
    """One shot's way: from a place to a target. `marker` tells this shot from all others."""

    place: Place
    target: Target
    marker: bytes
    number: int

    @property
    def version(self) -> int:
        return self.target.version

    @property
    def own(self) -> Address:
        return self.place.own(self.version)

    @property
    def to(self) -> Address:
        return self.target.address

    @property
    def load(self) -> Packet:
        """The marker as payload."""
        return Raw(self.marker)

    @property
    def sport(self) -> int:
        """A source port of this shot's own, above those that the chain's programs use, and in each
        run another one: a gateway may still track the flow of the last run."""
        return 20000 + (self.number + int.from_bytes(self.marker[:2])) % 10000

    def ip(self, **fields: Any) -> Packet:
        """The IP header of this shot's family; `fields` replace its source, destination and so on
        (`ttl` and `proto` name IPv6's hop limit and next header, too)."""
        fields = {"src": str(self.own), "dst": str(self.to), **fields}
        if self.version == 4:
            return IP(**fields)
        names = {"ttl": "hlim", "proto": "nh"}
        return IPv6(**{names.get(key, key): value for key, value in fields.items()})

    def tcp(self, dport: int, flags: str = "S", **fields: Any) -> Packet:
        """A TCP header; sequence and acknowledgement numbers are the marker."""
        seq, ack = int.from_bytes(self.marker[:4]), int.from_bytes(self.marker[4:])
        named = {"sport": self.sport, "seq": seq, "ack": ack, **fields}
        return TCP(dport=dport, flags=flags, **named)

    def udp(self, dport: int, **fields: Any) -> Packet:
        return UDP(dport=dport, **{"sport": self.sport, **fields})

    def datagram(
        self, dport: int, data: bytes | None = None, sport: int | None = None,
        src: Address | None = None, dst: Address | None = None,
    ) -> bytes:  # fmt: skip
        """A plain UDP packet, with the marker as its payload unless `data` is given."""
        load = self.marker if data is None else data
        port = self.sport if sport is None else sport
        return build.udp(src or self.own, dst or self.to, port, dport, load)

    def segment(
        self, dport: int, flags: str = "S", data: bytes = b"", sport: int | None = None,
        src: Address | None = None, dst: Address | None = None, options: bytes = b"",
    ) -> bytes:  # fmt: skip
        """A plain TCP packet; sequence and acknowledgement numbers are the marker."""
        port = self.sport if sport is None else sport
        ends = (src or self.own, dst or self.to)
        return build.tcp(*ends, port, dport, flags, self.marker, data, options)

    def icmp(
        self, kind: int, code: int = 0, rest: bytes | None = None,
        src: Address | None = None, dst: Address | None = None,
    ) -> bytes:  # fmt: skip
        """A plain ICMP packet of this family; with `rest`, what follows its checksum."""
        load = bytes(4) + self.marker if rest is None else rest
        return build.icmp(src or self.own, dst or self.to, kind, code, load)

    def ping(self, src: Address | None = None, dst: Address | None = None) -> bytes:
        return self.icmp(8 if self.version == 4 else 128, src=src, dst=dst)

    def all_three(self, src: Address | None = None, dst: Address | None = None) -> list[bytes]:
        """Ping, UDP and TCP: one of each protocol that some qube may send."""
        return [self.ping(src, dst), self.datagram(4444, src=src, dst=dst),
                self.segment(443, src=src, dst=dst)]  # fmt: skip

    @property
    def ethertype(self) -> bytes:
        """The ethertype of this family."""
        return b"\x08\0" if self.version == 4 else b"\x86\xdd"

    @property
    def endpoint(self) -> Endpoint | None:
        """The VPN server of this chain."""
        settings = vpn_settings(self.place.chain)
        return None if settings is None else settings.endpoint

    @property
    def tunnel(self) -> Address | None:
        """The VPN qube's address inside the tunnel, of this family."""
        settings = vpn_settings(self.place.chain)
        addresses = () if settings is None else settings.addresses
        return next((a for a in addresses if a.version == self.version), None)

    def ether(self, **fields: Any) -> Packet:
        """The Ethernet header of this shot's place."""
        return Ether(**{"src": self.place.mac, "dst": self.place.peer_mac, **fields})


@dataclass(frozen=True)
class Probe:
    """What is tried. `leaves` is False for what no router would pass on anyhow, with the reason in
    `why_not`: then the open router need not show it. What is not `marked` has no room for a marker,
    or nothing of it comes back: it is known by its own bytes only."""

    id: str
    name: str
    build: Build = field(repr=False, compare=False)
    classes: tuple[str, ...] = (DEFAULT,)
    families: tuple[int, ...] = (4, 6)
    direction: Direction = Direction.UP
    roles: frozenset[Role | None] = frozenset({*Role, None})
    why_not: str = ""
    marked: bool = True

    @property
    def leaves(self) -> bool:
        return not self.why_not

    def packets(self, aim: Aim) -> Iterator[bytes]:
        """The shot's frames, each with its Ethernet header."""
        made = self.build(aim)
        for packet in [made] if isinstance(made, Packet | bytes) else made:
            data = bytes(packet)
            if isinstance(packet, Ether | Dot3):
                yield data
            else:
                place = aim.place
                kind = build.ethertype_of(data)
                yield build.ethernet(place.mac, place.peer_mac, kind, data)


class Topic:
    """The probes of one topic of the catalogue, in the order in which they are declared."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.probes: list[Probe] = []

    def probe(self, id_: str, name: str, **more: Any) -> Callable[[Build], Build]:
        """Declare a probe: its id in the catalogue, what it tries, and Probe's other fields."""

        def declare(build: Build) -> Build:
            self.probes.append(Probe(id_, name, build, **more))
            return build

        return declare


def restricted(probe: Probe, classes: Mapping[str, tuple[Target, ...]]) -> Probe:
    """The probe with its classes written out."""
    if probe.classes != EVERYWHERE:
        return replace(probe, classes=tuple(name for name in probe.classes if name in classes))
    first: dict[tuple[Address, ...], str] = {}
    for name, both in classes.items():
        first.setdefault(tuple(target.address for target in both), name)
    return replace(probe, classes=tuple(first.values()))

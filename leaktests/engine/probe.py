"""A probe is data: an id of the catalogue, a sentence, and the packets that it sends.

A topic of the catalogue declares probes with `@topic.probe(...)` over a small function from an
`Aim` (from where to where, in which family) to scapy packets. A packet that begins with Ether is
sent as it is; any other gets the Ethernet header of its place. A probe never names the taps that
must be silent: `allowed()` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from leaktests.engine.place import Place
from leaktests.engine.target import DEFAULT, Target
from netchain.model.allowed import Direction
from netchain.model.chain import Address, Role

Build = Callable[["Aim"], "Packet | Iterable[Packet]"]
EVERYWHERE = ("*",)
"""All destination classes of the chain."""


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
        """A source port of this shot's own, above those that the chain's programs use."""
        return 20000 + self.number % 10000

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

    def ether(self, **fields: Any) -> Packet:
        """The Ethernet header of this shot's place."""
        return Ether(**{"src": self.place.mac, "dst": self.place.peer_mac, **fields})


@dataclass(frozen=True)
class Probe:
    """What is tried. `leaves` is False for what no router would pass on anyhow, with the reason in
    `why_not`: then the open router need not show it."""

    id: str
    name: str
    build: Build = field(repr=False, compare=False)
    classes: tuple[str, ...] = (DEFAULT,)
    families: tuple[int, ...] = (4, 6)
    direction: Direction = Direction.UP
    roles: frozenset[Role | None] = frozenset({*Role, None})
    why_not: str = ""

    @property
    def leaves(self) -> bool:
        return not self.why_not

    def packets(self, aim: Aim) -> Iterator[Packet]:
        """The shot's packets, each with its Ethernet header."""
        made = self.build(aim)
        for packet in [made] if isinstance(made, Packet) else made:
            yield packet if isinstance(packet, Ether) else aim.ether() / packet


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


def restricted(probe: Probe, classes: Mapping[str, object]) -> Probe:
    """The probe with its classes written out."""
    names = tuple(classes) if probe.classes == EVERYWHERE else probe.classes
    return replace(probe, classes=tuple(name for name in names if name in classes))

"""One packet that breaks a claim: what it is, what it leaves as, and which rules let it through.

The assignment that a proof ends with is run through the same semantics once more, as a packet
(algebra.Truth): what is told here is what the simulator did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netchain.nft.fields import FIELDS, ICMP, ICMPV6
from netchain.nft.symbols import CT_STATES
from netchain.verify.algebra import Truth
from netchain.verify.matching import ASSUMED
from netchain.verify.packet import DPORT, DST, IP, SPORT, SRC, WITH_PORTS, Packet
from netchain.verify.words import Word, flat

_TRUTH = Truth({})
_STATES = {number: name for name, number in CT_STATES.items()}


@dataclass(frozen=True)
class Seen:
    """A packet at one place, in numbers; interfaces by name, "" for none."""

    family: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    sport: int | None
    dport: int | None
    icmp: tuple[int, int] | None
    iif: str
    oif: str
    mark: int
    uid: int | None
    state: str
    reply: bool
    fragment: bool
    hops: int

    def __str__(self) -> str:
        ends = f"{_end(self.source, self.sport)} → {_end(self.destination, self.dport)}"
        words = [_PROTOCOLS.get(self.protocol, f"protocol {self.protocol}"), ends]
        if self.icmp is not None:
            words.append(f"type {self.icmp[0]} code {self.icmp[1]}")
        words += [f"in {self.iif}"] if self.iif else []
        words += [f"out {self.oif}"] if self.oif else []
        direction = " reply" if self.reply else ""
        words.append(f"ct {self.state}{direction}")
        words += [f"mark {self.mark:#x}"] if self.mark else []
        words += [f"uid {self.uid}"] if self.uid is not None else []
        words += ["a fragment"] if self.fragment else []
        return ", ".join(words)


_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
UNKNOWN = "(a new interface)"


@dataclass(frozen=True)
class Witness:
    """What came, what it is in the end, the rules that decided, and what is assumed of things that
    are not modelled."""

    came: Seen
    left: Seen
    rules: tuple[str, ...]
    assumed: tuple[str, ...]


def seen(packet: Packet) -> Seen:
    """A packet whose algebra is Truth."""
    protocol = number(packet.protocol)
    has_ports = protocol in WITH_PORTS
    is_icmp = protocol == (ICMP if packet.family == IP else ICMPV6)
    address = IPv4Address if packet.family == IP else IPv6Address
    hops = FIELDS["ip", "ttl"] if packet.family == IP else FIELDS["ip6", "hoplimit"]
    return Seen(
        packet.family, address(number(packet.address(SRC))), address(number(packet.address(DST))),
        protocol,
        number(packet.bits(SPORT)) if has_ports else None,
        number(packet.bits(DPORT)) if has_ports else None,
        (number(packet.transport.bits(0, 8)), number(packet.transport.bits(8, 8)))
        if is_icmp else None,
        _name(packet, packet.iif), _name(packet, packet.oif),
        number(packet.mark), number(packet.uid) if packet.owned else None,
        _STATES.get(number(packet.flow.state), "?"), bool(packet.flow.reply),
        not packet.whole, number(packet.bits(hops)),
    )  # fmt: skip


def number(word: Word) -> int:
    """Of a word of truth values."""
    found = 0
    for bit in flat(_TRUTH, word):
        found = found << 1 | bool(bit)
    return found


def assumed(values: Mapping[str, bool], asked: Mapping[str, bool]) -> tuple[str, ...]:
    """What a witness assumes of things that are not modelled."""
    return tuple(
        f"{name.removeprefix(ASSUMED)}: {'yes' if value else 'no'}"
        for name, value in values.items() if name.startswith(ASSUMED) and name in asked
    )  # fmt: skip


def _name(packet: Packet, interface: Word) -> str:
    index = number(interface)
    names = packet.interfaces.names
    return "" if index == 0 else names[index - 1] if index <= len(names) else UNKNOWN


def _end(address: IPv4Address | IPv6Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

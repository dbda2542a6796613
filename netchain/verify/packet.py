"""A packet at a place in a qube, bit by bit: what rules can ask, over an algebra.

Header bits are variables named by their place ("nh96" is the first bit of an IPv4 source address),
so fields that overlap are the same bits, and what one hop sends is what the next one gets. What is
about a packet and not in it (its interfaces, mark, socket, flow) gets a prefix for each hop.

An interface is a number in the qube's list of interfaces, 0 for none; the last number stands for
any interface that is not there yet, of which nobody knows the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from netchain.nft.fields import FIELDS, TCP, UDP, Base, Field
from netchain.nft.symbols import CT_STATES
from netchain.verify.algebra import Algebra, Bit, any_of, every
from netchain.verify.header import Header
from netchain.verify.words import (
    Word,
    constant,
    is_at_most,
    is_prefix,
    is_same,
    is_value,
    piece,
    variable,
)

IP, IP6 = "ip", "ip6"
NETWORK_BITS = {IP: 160, IP6: 320}
TRANSPORT_BITS = 192
SRC, DST = "saddr", "daddr"
FRAGMENT = Field(Base.NETWORK, FIELDS[IP, "frag-off"].offset + 2, 14, "integer")
"""Offset and "more fragments" of IPv4: all 0 in a packet that is whole."""
REASSEMBLED = "reassembled"
"""What the variable is called that says of an extension header that it is a fragment's."""
WITH_PORTS = (TCP, UDP, 33, 132, 136)
SPORT, DPORT = FIELDS["th", "sport"], FIELDS["th", "dport"]


@dataclass(frozen=True)
class Interfaces:
    """The interfaces of a qube by number, from 1; behind them the unknown one, in no group."""

    names: tuple[str, ...]
    groups: tuple[int, ...]
    only: tuple[Mapping[str, int], ...] = ()
    """By family the only address of each, which `redirect` and `masquerade` take."""
    own: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """By family every address of the qube, but for loopback's."""

    @property
    def unknown(self) -> int:
        return len(self.names) + 1

    @property
    def bits(self) -> int:
        return self.unknown.bit_length()

    def numbers(self, group: int) -> tuple[int, ...]:
        return tuple(n for n, of in enumerate(self.groups, 1) if of == group)

    def number(self, name: str) -> int:
        """Its number; 0 when there is none of that name."""
        return self.names.index(name) + 1 if name in self.names else 0


@dataclass(frozen=True)
class Flow:
    """What conntrack says of the packet: `state` is one number of symbols.CT_STATES, `reply` the
    direction, `status` the bits "snat" and "dnat"; `known` whether there is an entry at all."""

    known: Bit
    state: Word
    reply: Bit
    snat: Bit
    dnat: Bit
    mark: Word


@dataclass(frozen=True)
class Packet:
    """All of one family. `length` is that of the transport header and what it carries, in bytes,
    at most 63; `whole` says that it is no later fragment, and the transport header is there."""

    algebra: Algebra
    family: str
    prefix: str
    interfaces: Interfaces
    network: Header
    transport: Header
    protocol6: Word
    length: Word
    whole: Bit
    iif: Word
    oif: Word
    mark: Word
    uid: Word
    owned: Bit
    """Whether a socket with an owner sent it."""
    flow: Flow
    begins: bool = False
    """It is known to be the first packet of its flow, if conntrack follows it."""

    def bits(self, place: Field) -> Word:
        header = self.network if place.base is Base.NETWORK else self.transport
        return header.bits(place.offset, place.bits)

    @property
    def protocol(self) -> Word:
        """nft's l4proto: of IPv6 behind all extension headers."""
        return self.named(IP, "protocol") if self.family == IP else self.protocol6

    def named(self, protocol: str, name: str) -> Word:
        return self.bits(FIELDS[protocol, name])

    def address(self, which: str) -> Word:
        """`SRC` or `DST`."""
        return self.named(self.family, which)

    def has(self, place: Field) -> Bit:
        """Whether the packet has that field: nft ends a rule where it has not."""
        if place.base is Base.NETWORK:
            is_there = place.family in ("", self.family)
            return self.algebra.true if is_there else self.algebra.false
        last = (place.offset + place.bits + 7) // 8
        room = self.algebra.no(is_at_most(self.algebra, self.length, last - 1))
        found = self.algebra.both(self.whole, room)
        if place.protocol is not None:
            found = self.algebra.both(self.is_protocol(place.protocol), found)
        return found

    def is_protocol(self, number: int) -> Bit:
        return is_value(self.algebra, self.protocol, number)

    def is_type(self, *types: int) -> Bit:
        """Whether an ICMP message's type is one of these."""
        found = self.transport.bits(0, 8)
        return any_of(self.algebra, (is_value(self.algebra, found, one) for one in types))

    def with_bits(self, place: Field, condition: Bit, word: Word) -> Packet:
        """With another value there, where the condition holds."""
        if place.base is Base.NETWORK:
            return replace(self, network=self.network.written(place.offset, condition, word))
        return replace(self, transport=self.transport.written(place.offset, condition, word))

    def with_port(self, which: str, condition: Bit, word: Word) -> Packet:
        """With another port at that end, of a protocol that has ports."""
        has = any_of(self.algebra, (self.is_protocol(number) for number in WITH_PORTS))
        place = SPORT if which == SRC else DPORT
        return self.with_bits(place, self.algebra.both(condition, has), word)

    def through(self, word: Word, numbers: tuple[int, ...]) -> Bit:
        """Whether `word`, its iif or oif, is one of these interfaces."""
        return any_of(self.algebra, (is_value(self.algebra, word, n) for n in numbers))

    def is_state(self, *names: str) -> Bit:
        return any_of(
            self.algebra, (is_value(self.algebra, self.flow.state, CT_STATES[n]) for n in names)
        )

    def is_own(self, which: str) -> Bit:
        """Whether its source or destination is an address of the qube, loopback's included."""
        algebra, address = self.algebra, self.address(which)
        loopback = (0x7F000000, 8) if self.family == IP else (1, 128)
        own = [is_value(algebra, address, n) for n in self.interfaces.own.get(self.family, ())]
        return any_of(algebra, [is_prefix(algebra, address, *loopback), *own])

    @cached_property
    def is_first(self) -> Bit:
        """Whether it is the first packet of a flow that conntrack follows: new, or an error that
        is about another flow."""
        return self.algebra.both(self.flow.known, self.is_state("new", "related"))


def fresh(
    algebra: Algebra, family: str, interfaces: Interfaces, *, local: bool, prefix: str = "",
    headers: str = "",
) -> tuple[Packet, Bit]:  # fmt: skip
    """Any packet of the family at the qube, and what is true of every packet.

    `local`: one that a program of the qube sends, which has no iif. `prefix` keeps what is about it
    apart from what is about the same packet at another hop; with `headers` it is another packet.
    """
    network = (algebra.variable(f"{headers}nh{n}") for n in range(NETWORK_BITS[family]))
    transport = (algebra.variable(f"{headers}th{n}") for n in range(TRANSPORT_BITS))
    interface = variable(algebra, f"{prefix}iif", interfaces.bits)
    none = constant(algebra, 0, interfaces.bits)
    length = variable(algebra, f"{headers}length", 6)
    protocol = variable(algebra, f"{headers}l4proto", 8)
    packet = Packet(
        algebra, family, prefix, interfaces,
        Header(algebra, tuple(network)), Header(algebra, tuple(transport)),
        protocol, length, algebra.true,
        none if local else interface, variable(algebra, f"{prefix}oif", interfaces.bits),
        variable(algebra, f"{prefix}mark", 32), variable(algebra, f"{prefix}uid", 32),
        algebra.variable(f"{prefix}owned") if local else algebra.false,
        untracked(algebra, prefix),
    )  # fmt: skip
    packet = replace(packet, whole=_whole(packet))
    return packet, truths(packet, local=local)


def _whole(packet: Packet) -> Bit:
    """Of IPv4 a fragment offset of 0; IPv6's is in an extension header, which nobody looks into."""
    algebra = packet.algebra
    if packet.family == IP6:
        return algebra.either(is_plain6(packet), algebra.variable("whole6"))
    return is_value(algebra, piece(packet.named(IP, "frag-off"), 3, 16), 0)


def is_plain6(packet: Packet) -> Bit:
    """Whether no extension header comes first. (AH and ESP are where nft's l4proto ends.)"""
    headers = (0, 43, 44, 60, 135)
    next_header = packet.named(IP6, "nexthdr")
    return packet.algebra.no(
        any_of(packet.algebra, (is_value(packet.algebra, next_header, n) for n in headers))
    )


def truths(packet: Packet, *, local: bool) -> Bit:
    """What is true of every packet."""
    algebra = packet.algebra
    version = is_value(algebra, packet.network.bits(0, 4), 4 if packet.family == IP else 6)
    found = [version, is_at_most(algebra, packet.oif, packet.interfaces.unknown)]
    if local:  # only root's raw sockets send parts
        part = algebra.variable(f"{packet.prefix}{REASSEMBLED}")
        found.append(
            is_value(algebra, packet.bits(FRAGMENT), 0) if packet.family == IP else algebra.no(part)
        )
    else:
        found += [is_at_most(algebra, packet.iif, packet.interfaces.unknown),
                  algebra.no(is_value(algebra, packet.iif, 0))]  # fmt: skip
    found.append(algebra.no(is_value(algebra, packet.oif, 0)))
    if packet.family == IP6:
        same = is_same(algebra, packet.named(IP6, "nexthdr"), packet.protocol)
        found.append(algebra.either(algebra.no(is_plain6(packet)), same))
    return every(algebra, found)


def untracked(algebra: Algebra, prefix: str) -> Flow:
    """Before conntrack has looked: `ct state` is invalid, all else is not there."""
    return Flow(
        algebra.false, constant(algebra, CT_STATES["invalid"], 7), algebra.false, algebra.false,
        algebra.false, variable(algebra, f"{prefix}ctmark", 32),
    )  # fmt: skip

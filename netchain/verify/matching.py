"""Whether a packet matches an nft expression, over an algebra.

An expression has a value only where what it reads is there: nft ends a rule (NFT_BREAK) where it is
not, so `!=` does not match either. What is not modelled is a variable of its own, named by where
the rule is and what it asks, so that a proof holds either way and a witness says what it assumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netchain.nft import expressions as nft
from netchain.nft.fields import CT, FIELDS, META, Base, Field
from netchain.nft.ruleset import NftSet
from netchain.nft.symbols import CT_STATUS
from netchain.verify.algebra import Bit, any_of, every
from netchain.verify.constants import NotModelledError, number, type_of
from netchain.verify.packet import IP, IP6, NETWORK_BITS, TRANSPORT_BITS, Packet
from netchain.verify.words import (
    Bits,
    Choice,
    Word,
    constant,
    has_any,
    is_at_most,
    is_between,
    is_prefix,
    is_value,
    masked,
)

ASSUMED = "?"
"""What a variable's name begins with that stands for something that is not modelled."""
_NF_PROTO = {IP: 2, IP6: 10}
_ETHER_TYPE = {IP: 0x0800, IP6: 0x86DD}
_ICMP_OF = {"icmp": IP, "icmpv6": IP6}


@dataclass(frozen=True)
class Value:
    """What an expression is: where it is there at all, its bits, and of which type it is.

    Of type `ifname` the bits are an interface's number; a concatenation has `parts` instead.
    """

    there: Bit
    word: Word
    type: str
    parts: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Matcher:
    """Asks one packet what a rule asks; `where` names the rule, `sets` are those of its table.

    `for_family`: the rule has said already that it is for the packet's family, or its table does.
    """

    packet: Packet
    sets: Mapping[str, NftSet]
    where: str
    for_family: bool = False

    def matches(self, operator: str, left: nft.Expression, right: nft.Expression) -> Bit:
        """Whether `left operator right` holds."""
        algebra = self.packet.algebra
        try:
            value = self.value(left)
            return algebra.both(value.there, self._compare(operator, value, right))
        except NotModelledError:
            return self.assumed(f"{left} {operator} {right}")

    def assumed(self, words: str) -> Bit:
        return self.packet.algebra.variable(f"{ASSUMED}{self.where}: {words}")

    def value(self, expression: nft.Expression) -> Value:
        """Raises NotModelledError."""
        algebra = self.packet.algebra
        match expression:
            case nft.Payload(protocol, name) if (protocol, name) in FIELDS:
                place = FIELDS[protocol, name]
                there = algebra.both(self.packet.has(place), self._is_of_family(protocol))
                return Value(there, self.packet.bits(place), place.type)
            case nft.RawPayload():
                return self._raw(expression)
            case nft.Meta(key) if key in META:
                return self._meta(key)
            case nft.Ct(key, "") if key in CT:
                return self._ct(key)
            case nft.Concat(parts):
                values = tuple(self.value(part) for part in parts)
                there = every(algebra, (value.there for value in values))
                return Value(there, (), "", values)
            case nft.Combined("&", left, right):
                value = self.value(left)
                mask = number(value.type, right)
                return Value(value.there, masked(algebra, value.word, mask), value.type)
            case nft.Lookup(key, data):
                return self._lookup(key, data)
        raise NotModelledError

    def _is_of_family(self, protocol: str) -> Bit:
        """ICMP over IPv6, or ICMPv6 over IPv4: `icmp type` makes nft ask for the family or not, by
        what else the rule says, and its listing does not tell which (nft 1.0.6)."""
        if self.for_family or _ICMP_OF.get(protocol, self.packet.family) == self.packet.family:
            return self.packet.algebra.true
        return self.assumed(f"{protocol} is asked over {self.packet.family}, too")

    def _raw(self, place: nft.RawPayload) -> Value:
        room = {"nh": NETWORK_BITS[self.packet.family], "th": TRANSPORT_BITS}.get(place.base, 0)
        if place.offset + place.bits > room:
            raise NotModelledError
        piece = Field(Base(place.base), place.offset, place.bits, "integer")
        return Value(self.packet.has(piece), self.packet.bits(piece), "integer")

    def _meta(self, key: str) -> Value:
        packet, algebra = self.packet, self.packet.algebra
        bits, kind = META[key]
        there = algebra.true
        match key:
            case "mark":
                word = packet.mark
            case "skuid":
                word, there = packet.uid, packet.owned
            case "l4proto":
                word = packet.protocol
                there = self._has_transport()
            case "nfproto" | "protocol":
                numbers = _NF_PROTO if key == "nfproto" else _ETHER_TYPE
                word = constant(algebra, numbers[packet.family], bits)
            case "iif" | "iifname" | "oif" | "oifname":
                word = packet.iif if key.startswith("i") else packet.oif
            case "iifgroup" | "oifgroup":
                own = packet.iif if key.startswith("i") else packet.oif
                word, there = self._group(own, bits), algebra.no(is_value(algebra, own, 0))
            case _:
                raise NotModelledError
        return Value(there, word, kind)

    def _has_transport(self) -> Bit:
        """Of IPv6 nft finds no protocol where an extension header cannot be walked."""
        algebra = self.packet.algebra
        return algebra.true if self.packet.family == IP else algebra.either(
            self.packet.whole, algebra.variable("protocol6")
        )  # fmt: skip

    def _group(self, interface: Word, bits: int) -> Word:
        packet = self.packet
        groups = dict.fromkeys((*packet.interfaces.groups, 0))  # the unknown one is in none
        algebra, options = packet.algebra, []
        for group in groups:
            numbers = packet.interfaces.numbers(group)
            numbers += (packet.interfaces.unknown,) if group == 0 else ()
            where = packet.through(interface, numbers)
            options.append((where, constant(algebra, group, bits)))
        return Choice(tuple(options))

    def _ct(self, key: str) -> Value:
        flow, algebra = self.packet.flow, self.packet.algebra
        bits, kind = CT[key]
        match key:
            case "state":
                return Value(algebra.true, flow.state, kind)
            case "direction":
                return Value(flow.known, (flow.reply,), kind)
            case "mark":
                return Value(flow.known, flow.mark, kind)
        status = {CT_STATUS["snat"]: flow.snat, CT_STATUS["dnat"]: flow.dnat}
        word = tuple(
            status[1 << n] if 1 << n in status
            else algebra.variable(f"{self.packet.prefix}ctstatus{n}")
            for n in reversed(range(bits))
        )  # fmt: skip
        return Value(flow.known, word, kind)

    def _lookup(self, key: nft.Expression, data: nft.Expression) -> Value:
        """The data of the element whose key it is; there is none without such an element."""
        algebra, value = self.packet.algebra, self.value(key)
        there, kind = algebra.false, ""
        options: list[tuple[Bit, Bits]] = []
        for member in self.members(data):
            found = nft.expression(member.data)
            kind = type_of(found)
            bits = {"ipv4_addr": 32, "ipv6_addr": 128, "integer": 16}[kind]
            hit = self._is(value, member.key)
            there = algebra.either(hit, there)
            options.append((hit, constant(algebra, number(kind, found), bits)))
        word = Choice(tuple(options)) if options else ()
        return Value(algebra.both(value.there, there), word, kind)

    def members(self, data: nft.Expression) -> tuple[nft.Element, ...]:
        """The elements of a set or map that packets and time do not change, or NotModelledError."""
        match data:
            case nft.Values(elements):
                return elements
            case nft.NamedSet(name) if name in self.sets and not self.sets[name].may_change:
                return self.sets[name].members
        raise NotModelledError

    def given(self, kind: str, expression: nft.Expression, bits: int) -> Word:
        """What a statement is to write: a constant, or what can be read where it is there."""
        try:
            return constant(self.packet.algebra, number(kind, expression), bits)
        except NotModelledError:
            word = self.value(expression).word
            if len(word) != bits:
                raise
            return word

    def hit(self, value: Value, member: nft.Element) -> Bit:
        """Whether the value is there and is that element's key. Raises NotModelledError."""
        return self.packet.algebra.both(value.there, self._is(value, member.key))

    def _compare(self, operator: str, value: Value, right: nft.Expression) -> Bit:
        algebra = self.packet.algebra
        match operator:
            case "==":
                return self._equals(value, right)
            case "!=":
                return algebra.no(self._equals(value, right))
            case "in" | "!":
                found = has_any(algebra, value.word, number(value.type, right))
                return found if operator == "in" else algebra.no(found)
            case "<" | "<=" | ">" | ">=" if value.word and value.type != "ifname":
                end = number(value.type, right)
                at_most = end if operator in ("<=", ">") else end - 1
                found = is_at_most(algebra, value.word, at_most)
                return found if operator.startswith("<") else algebra.no(found)
        raise NotModelledError

    def _equals(self, value: Value, right: nft.Expression) -> Bit:
        if isinstance(right, nft.Values | nft.NamedSet):
            hits = [self._is(value, member.key) for member in self.members(right)]
            return any_of(self.packet.algebra, hits)
        return self._is(value, right)

    def _is(self, value: Value, right: nft.Expression) -> Bit:
        """Whether the value, where it is there, is that constant, or in that prefix or range."""
        algebra = self.packet.algebra
        if value.parts or isinstance(right, nft.Concat):
            parts = right.parts if isinstance(right, nft.Concat) else ()
            if len(parts) != len(value.parts):
                raise NotModelledError
            pairs = zip(value.parts, parts, strict=True)
            return every(algebra, [self._is(part, other) for part, other in pairs])
        if value.type == "ifname":
            return self._is_interface(value.word, right)
        match right:
            case nft.Prefix(address, length):
                return is_prefix(algebra, value.word, number(value.type, address), length)
            case nft.Range(low, high):
                ends = number(value.type, low), number(value.type, high)
                return is_between(algebra, value.word, *ends)
        return is_value(algebra, value.word, number(value.type, right))

    def _is_interface(self, word: Word, name: nft.Expression) -> Bit:
        """`name` or `begin*`. Of the interface that is not there nobody knows whether it is called
        so, unless another one is."""
        if not isinstance(name, str) or name == "*":  # which is every element's rest, in a set
            raise NotModelledError
        packet = self.packet
        names = packet.interfaces.names
        is_wild = name.endswith("*")
        found = [n for n, each in enumerate(names, 1)
                 if each == name or (is_wild and each.startswith(name[:-1]))]  # fmt: skip
        hit = packet.through(word, tuple(found))
        if found and not is_wild:
            return hit
        unknown = is_value(packet.algebra, word, packet.interfaces.unknown)
        called = packet.algebra.variable(f"{ASSUMED}{packet.prefix}a new interface is {name}")
        return packet.algebra.either(packet.algebra.both(unknown, called), hit)

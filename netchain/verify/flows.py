"""What the kernel does before rules can ask for a flow: reassembly, conntrack (defrag, conntrack).

A packet may be of any state that conntrack knows: whatever made it so, under these rules or under
older ones, a proof holds. What rules can only see afterwards is not there before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netchain.nft import expressions as nft
from netchain.nft.fields import FIELDS, ICMP, ICMPV6, TCP, UDP
from netchain.nft.ruleset import NftChain
from netchain.nft.statements import (
    Change,
    DecideBy,
    Harmless,
    Match,
    Nat,
    Notrack,
    Statement,
    Unmodelled,
)
from netchain.nft.symbols import CT_STATES
from netchain.verify.algebra import Bit, any_of, every
from netchain.verify.packet import (
    FRAGMENT,
    IP,
    IP6,
    REASSEMBLED,
    TRANSPORT_BITS,
    Flow,
    Packet,
    is_plain6,
)
from netchain.verify.words import Word, choose, constant, is_at_most, is_between, is_value, variable

ICMP_KINDS = {
    IP: (ICMP, {8: 0, 13: 14, 15: 16, 17: 18}), IP6: (ICMPV6, {128: 129, 139: 140}),
}  # fmt: skip
"""By family: the protocol, and its requests with their answers."""
_ERRORS4 = (3, 4, 5, 11, 12)


def may_be_part(packet: Packet) -> Bit:
    """Whether it is a fragment, or (of IPv6) has an extension header, which may say so."""
    if packet.family == IP6:
        return packet.algebra.no(is_plain6(packet))
    return packet.algebra.no(is_value(packet.algebra, packet.bits(FRAGMENT), 0))


def reassembled(packet: Packet) -> Packet:
    """A fragment becomes the packet that it is a part of: what it carries may be anything."""
    algebra, name = packet.algebra, f"{packet.prefix}{REASSEMBLED}"
    is_part = may_be_part(packet)
    if packet.family == IP:
        packet = packet.with_bits(FRAGMENT, is_part, constant(algebra, 0, 14))
    else:
        is_part = algebra.both(is_part, algebra.variable(name))
        place = FIELDS[IP6, "nexthdr"]
        packet = packet.with_bits(place, is_part, variable(algebra, f"{name} nexthdr", 8))
        found = choose(algebra, is_plain6(packet), packet.bits(place), packet.protocol6)
        packet = replace(packet, protocol6=found)
    transport = variable(algebra, f"{name} th", TRANSPORT_BITS)
    length = variable(algebra, f"{name} length", 6)
    return replace(
        packet,
        transport=packet.transport.written(0, is_part, transport),
        length=choose(algebra, is_part, length, packet.length),
        whole=algebra.either(packet.whole, is_part),
    )


def followed(packet: Packet, untracked: Bit, translated: frozenset[str]) -> Packet:
    """Conntrack has looked: the packet is of one state, whichever. Of a flow's first packet the
    direction is the original one, and nothing is translated yet; of a later one its source may be
    (`snat`) or its destination (`dnat`), if the rules do so."""
    algebra, prefix = packet.algebra, packet.prefix
    seen = algebra.no(algebra.either(untracked, _is_passed_over(packet)))
    one, two = (
        algebra.false if packet.begins else algebra.variable(f"{prefix}{name}")
        for name in ("ct1", "ct2")
    )
    chosen = {
        "new": algebra.both(algebra.no(one), algebra.no(two)),
        "established": algebra.both(algebra.no(one), two),
        "related": algebra.both(one, algebra.no(two)),
        "invalid": algebra.both(one, two),
    }
    state: Word = constant(algebra, CT_STATES["untracked"], 7)
    for name, condition in chosen.items():
        is_it = algebra.both(seen, condition)
        state = choose(algebra, is_it, constant(algebra, CT_STATES[name], 7), state)
    reply = algebra.variable(f"{prefix}ct reply")
    odd = algebra.either(_is_short(packet), _is_odd_icmp(packet, chosen, reply))
    odd = algebra.both(seen, odd)
    state = choose(algebra, odd, constant(algebra, CT_STATES["invalid"], 7), state)
    seen = algebra.both(seen, algebra.no(odd))
    later = algebra.both(seen, algebra.either(chosen["established"], chosen["related"]))
    known = algebra.both(seen, algebra.no(chosen["invalid"]))
    reply, snat, dnat = (
        algebra.both(later, algebra.variable(f"{prefix}ct {name}"))
        if name == "reply" or name in translated else algebra.false
        for name in ("reply", "snat", "dnat")
    )  # fmt: skip
    return replace(packet, flow=Flow(known, state, reply, snat, dnat, packet.flow.mark))


def _is_passed_over(packet: Packet) -> Bit:
    """Neighbour discovery and the like (nf_conntrack_proto_icmpv6.c, noct_valid_new)."""
    algebra = packet.algebra
    if packet.family == IP:
        return algebra.false
    kind = packet.named("icmpv6", "type")
    types = algebra.either(is_between(algebra, kind, 130, 137), is_value(algebra, kind, 143))
    return every(algebra, [packet.is_protocol(ICMPV6), packet.whole, types])


def _is_short(packet: Packet) -> Bit:
    """Too short for its protocol's header, which makes it invalid (nf_conntrack_proto_*.c)."""
    algebra = packet.algebra
    kinds = [(UDP, 8), (ICMP, 8), (ICMPV6, 8), (TCP, 20)]
    return any_of(algebra, (
        algebra.both(packet.is_protocol(protocol), is_at_most(algebra, packet.length, least - 1))
        for protocol, least in kinds
    ))  # fmt: skip


def _is_odd_icmp(packet: Packet, chosen: Mapping[str, Bit], reply: Bit) -> Bit:
    """A request begins a flow, and only its own kind of answer answers it; an error is about
    another flow (nf_conntrack_proto_icmp.c, icmpv6.c). All else is invalid."""
    algebra = packet.algebra
    protocol, pairs = ICMP_KINDS[packet.family]
    kind = packet.named("icmp", "type")
    error = packet.is_type(*_ERRORS4) if packet.family == IP else is_at_most(algebra, kind, 127)
    request, answer = packet.is_type(*pairs), packet.is_type(*pairs.values())
    later = algebra.choose(reply, answer, request)
    fits = any_of(algebra, [
        algebra.both(chosen["new"], request),
        algebra.both(chosen["established"], later),
        algebra.both(chosen["related"], error),
    ])  # fmt: skip
    return algebra.both(packet.is_protocol(protocol), algebra.no(fits))


def asks_conntrack(chain: NftChain) -> bool:
    """Whether it makes the kernel follow flows, and put fragments together for it."""
    if chain.kind == "nat":
        return True
    return any(_asks(statement) for rule in chain.rules for statement in rule.statements)


def _asks(statement: Statement) -> bool:
    """Of what is not modelled its text tells; iptables' extensions do not, and may."""
    match statement:
        case Match(_, left, right):
            return _has_ct(left) or _has_ct(right)
        case DecideBy(key, data):
            return _has_ct(key) or _has_ct(data)
        case Change(key, value):
            return _has_ct(key) or _has_ct(value)
        case Unmodelled(text, _):
            return '"ct' in text or '"xt"' in text
        case Harmless(name):
            return name.startswith("ct ")
        case Nat() | Notrack():
            return True
    return False


def _has_ct(expression: nft.Expression) -> bool:
    match expression:
        case nft.Ct():
            return True
        case nft.Unmodelled(text):
            return '"ct"' in text
        case nft.Concat(parts):
            return any(_has_ct(part) for part in parts)
        case nft.Combined(_, left, right):
            return _has_ct(left) or _has_ct(right)
        case nft.Lookup(key, data):
            return _has_ct(key) or _has_ct(data)
    return False

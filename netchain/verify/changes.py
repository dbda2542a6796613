"""What rules change of a packet: its mark, its flow's mark, bits of its headers."""

from __future__ import annotations

from dataclasses import replace

from netchain.nft import expressions as nft
from netchain.nft.fields import FIELDS
from netchain.verify.algebra import Algebra, Bit
from netchain.verify.constants import NotModelledError
from netchain.verify.matching import ASSUMED, Matcher
from netchain.verify.packet import Flow, Packet
from netchain.verify.words import Word, choose, variable


def changed(matcher: Matcher, key: nft.Expression, value: nft.Expression, condition: Bit) -> Packet:
    """The packet after `key set value`, where the condition holds; of what is not modelled (a
    priority, a TCP option) nothing changes."""
    packet = matcher.packet
    algebra = packet.algebra
    match key:
        case nft.Meta("mark"):
            word = _new(matcher, "mark", value, 32)
            return replace(packet, mark=choose(algebra, condition, word, packet.mark))
        case nft.Ct("mark", ""):
            mark = choose(algebra, condition, _new(matcher, "mark", value, 32), packet.flow.mark)
            return replace(packet, flow=replace(packet.flow, mark=mark))
        case nft.Payload(protocol, name) if (protocol, name) in FIELDS:
            place = FIELDS[protocol, name]
            there = algebra.both(condition, packet.has(place))
            return packet.with_bits(place, there, _new(matcher, place.type, value, place.bits))
        case nft.Payload() | nft.RawPayload():
            return _any_header(matcher, condition)
    return packet


def _new(matcher: Matcher, kind: str, value: nft.Expression, bits: int) -> Word:
    """What is written; anything, where it is no constant and nothing that can be read."""
    try:
        return matcher.given(kind, value, bits)
    except NotModelledError:
        return variable(matcher.packet.algebra, f"{ASSUMED}{matcher.where} sets {value}", bits)


def _any_header(matcher: Matcher, condition: Bit) -> Packet:
    """Something of the packet was rewritten, and it is not known what: it may be anything now."""
    packet, algebra = matcher.packet, matcher.packet.algebra
    network = variable(algebra, f"{ASSUMED}{matcher.where} rewrites nh", len(packet.network))
    transport = variable(algebra, f"{ASSUMED}{matcher.where} rewrites th", len(packet.transport))
    return replace(
        packet, network=packet.network.written(0, condition, network),
        transport=packet.transport.written(0, condition, transport),
    )  # fmt: skip


def merged(condition: Bit, then: Packet, otherwise: Packet) -> Packet:
    """One packet where the condition holds, the other one elsewhere. Of what rules change only:
    both are the same packet, from the same place."""
    if then is otherwise:
        return then
    algebra = then.algebra
    return replace(
        otherwise,
        network=then.network.either(condition, otherwise.network),
        transport=then.transport.either(condition, otherwise.transport),
        mark=_either(algebra, condition, then.mark, otherwise.mark),
        flow=_flow(algebra, condition, then.flow, otherwise.flow),
    )


def _either(algebra: Algebra, condition: Bit, then: Word, otherwise: Word) -> Word:
    return otherwise if then is otherwise else choose(algebra, condition, then, otherwise)


def _flow(algebra: Algebra, condition: Bit, then: Flow, otherwise: Flow) -> Flow:
    return replace(otherwise, mark=_either(algebra, condition, then.mark, otherwise.mark))

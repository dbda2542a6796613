"""Address translation at a hook: what nat chains do to a flow's first packet, and what conntrack
does to all later ones without asking any rule.

Source: net/netfilter/nf_nat_core.c (nf_nat_inet_fn, nf_nat_packet). Destinations are changed at
prerouting and output, sources at postrouting and input. Later packets: in the flow's direction by
the mapping that was made there, in the other one by the inverse of the other kind's. A mapping may
be older than the rules that are there now, so such an address may be anything at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netchain.nft import expressions as nft
from netchain.nft.fields import FIELDS
from netchain.nft.ruleset import NftChain
from netchain.verify.algebra import Bit, any_of
from netchain.verify.constants import NotModelledError
from netchain.verify.matching import ASSUMED
from netchain.verify.packet import DST, IP, SRC, Packet
from netchain.verify.walk import Rewrite, Walker
from netchain.verify.words import Word, choose, constant, is_value, variable

_LOOPBACK = {"ip": 0x7F000001, "ip6": 1}


@dataclass(frozen=True)
class Translator:
    """The nat chains of one hook, each with its table's walker, in their order."""

    hook: str
    chains: tuple[tuple[Walker, NftChain], ...]

    @property
    def which(self) -> str:
        return DST if self.hook in ("prerouting", "output") else SRC

    def through(self, packet: Packet, reach: Bit) -> tuple[Bit, Packet]:
        """Where the packet goes on, and as what."""
        algebra = packet.algebra
        asked, before = packet.is_first, packet
        for walker, chain in self.chains:
            walked = walker.base(chain, before)
            reach = algebra.both(reach, algebra.no(algebra.both(asked, walked.dropped)))
            for rewrite in walked.rewrites:
                met = algebra.both(asked, rewrite.condition)
                if not algebra.is_false(met):
                    packet = self._rewritten(packet, before, rewrite, met)
            mapped = any_of(algebra, (each.condition for each in walked.rewrites))
            asked = algebra.both(asked, algebra.no(mapped))
        return reach, self._later(self._clash(packet))

    def _rewritten(self, packet: Packet, before: Packet, rewrite: Rewrite, met: Bit) -> Packet:
        """The first packet with the address and the port that the statement gives it."""
        address = self._address(before, rewrite)
        if address is not None:
            packet = packet.with_bits(FIELDS[packet.family, self.which], met, address)
        port = rewrite.statement.port
        if port is not None:
            word = self._given(rewrite, port, 16)
            packet = packet.with_port(self.which, met, word)
        flow, algebra = packet.flow, packet.algebra
        if self.which == DST:
            return replace(packet, flow=replace(flow, dnat=algebra.either(met, flow.dnat)))
        return replace(packet, flow=replace(flow, snat=algebra.either(met, flow.snat)))

    def _address(self, packet: Packet, rewrite: Rewrite) -> Word | None:
        bits = 32 if packet.family == IP else 128
        match rewrite.statement.kind:
            case "redirect" if self.hook == "output":
                return constant(packet.algebra, _LOOPBACK[packet.family], bits)
            case "redirect":
                return self._of_interface(packet, packet.iif, bits)
            case "masquerade":
                return self._of_interface(packet, packet.oif, bits)
        given = rewrite.statement.address
        return None if given is None else self._given(rewrite, given, bits)

    def _of_interface(self, packet: Packet, interface: Word, bits: int) -> Word:
        """The interface's only address; anything, where it has none or several."""
        algebra = packet.algebra
        found: Word = variable(algebra, f"{ASSUMED}{packet.prefix}address of an interface", bits)
        for number, only in enumerate(packet.interfaces.only, 1):
            if packet.family in only:
                address = constant(algebra, only[packet.family], bits)
                found = choose(algebra, is_value(algebra, interface, number), address, found)
        return found

    def _given(self, rewrite: Rewrite, expression: nft.Expression, bits: int) -> Word:
        """A constant or what a map says; of a range, any."""
        matcher = rewrite.matcher
        kind = {16: "inet_service", 32: "ipv4_addr", 128: "ipv6_addr"}[bits]
        try:
            return matcher.given(kind, expression, bits)
        except NotModelledError:
            name = f"{ASSUMED}{matcher.where} {self.which} {bits}"
            return variable(matcher.packet.algebra, name, bits)

    def _clash(self, packet: Packet) -> Packet:
        """Where two flows would become the same, the kernel gives the first packet another source
        port, also without any rule."""
        if self.which == DST or self.hook == "input":
            return packet
        algebra = packet.algebra
        clash = algebra.both(packet.is_first, algebra.variable(f"{packet.prefix}port is taken"))
        return packet.with_port(SRC, clash, variable(algebra, f"{packet.prefix}other port", 16))

    def _later(self, packet: Packet) -> Packet:
        """A packet of a flow that has a mapping may get any address and port here."""
        algebra, flow = packet.algebra, packet.flow
        known = algebra.both(flow.known, packet.is_state("established", "related"))
        one, other = (flow.dnat, flow.snat) if self.which == DST else (flow.snat, flow.dnat)
        mapped = algebra.both(known, algebra.choose(flow.reply, other, one))
        place = FIELDS[packet.family, self.which]
        address, port = mapping(packet, self.hook, place.bits)
        packet = packet.with_bits(place, mapped, address)
        return packet.with_port(self.which, mapped, port)


def mapping(packet: Packet, hook: str, bits: int) -> tuple[Word, Word]:
    """The address and the port that a later packet of a translated flow gets at that hook."""
    name = f"{packet.prefix}{hook} mapping"
    return variable(packet.algebra, name, bits), variable(packet.algebra, f"{name} port", 16)

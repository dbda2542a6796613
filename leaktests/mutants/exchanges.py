"""Exchanges of packets on the bench: a flow goes out, its answer and errors about it come back."""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.mutants import messages
from leaktests.mutants.bench import Bench, Own
from leaktests.mutants.messages import NUMBERS
from leaktests.mutants.scenes import Scene
from leaktests.mutants.traffic import WEB
from leaktests.mutants.wanted import PORT
from netchain.model.addressing import UPLINK
from netchain.model.chain import Address
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow

Needs = Iterator[tuple[str, bool]]
"""What is needed, and whether it works."""

_TCP = 6
_ERRORS = {4: ((3, 1), (3, 4), (11, 0), (12, 0)), 6: ((1, 0), (2, 0), (3, 0), (4, 0))}


class Exchanges:
    """Of one scene's qube, which is on the bench."""

    def __init__(self, scene: Scene, bench: Bench) -> None:
        self._chain, self._me, self._bench = scene.chain, scene.qube, bench

    def _through(self, link: str, packet: bytes) -> dict[str, list[Flow]]:
        """What comes out of each link, and what is delivered, when it goes in."""
        self._bench.send(link, [self._bench.framed(link, packet)])
        return self._seen()

    def _own(self, dev: str, packet: bytes) -> dict[str, list[Flow]]:
        self._bench.send_own(Own(dev, marked=True), [packet])
        return self._seen()

    def _seen(self) -> dict[str, list[Flow]]:
        captured, delivered = self._bench.seen()
        found = {link: [decode(frame) for frame in frames] for link, frames in captured.items()}
        return {**found, "delivered": [decode(messages.ether(packet)) for packet in delivered]}

    def _goes(self, link: str, packet: bytes, out: str, source: Address | None = None) -> Needs:
        """In through a link and out of another, from this source; its answer and errors about it
        come back. `out` is an interface."""
        name = f"{decode(messages.ether(packet)).protocol} {messages.text(packet)} from {link}"
        seen = self._through(link, packet)[out]
        yield f"{name} goes out", bool(seen) and (source is None or seen[0].source == source.packed)
        if not seen:
            return
        back = self._through(out, messages.answer(seen[0]))[link]
        yield f"the answer to {name}", any(flow.source == decode(messages.ether(packet)).destination
                                           for flow in back)  # fmt: skip
        yield from self._errors(seen[0], out, link, name)

    def _errors(self, flow: Flow, out: str, link: str, name: str) -> Needs:
        """Every kind of error about a flow comes back to `link`, or is delivered ("")."""
        version = 4 if flow.ethertype == 0x0800 else 6
        router = WEB[version] + 1
        for kind, code in _ERRORS[version]:
            error = messages.error(flow, router, kind, code)
            seen = self._through(out, error)
            there = seen[link or "delivered"]
            yield f"error {kind} about {name}", any(f.icmp_type == kind for f in there)

    def _sent(self, packet: bytes) -> Needs:
        """The qube's own goes out of the uplink, and its answer is delivered."""
        name = f"own {decode(messages.ether(packet)).protocol} to {messages.text(packet)}"
        seen = self._own(UPLINK, packet)[UPLINK]
        yield f"{name} goes out", bool(seen)
        if not seen:
            return
        flow = seen[0]
        told = self._through(UPLINK, messages.answer(flow))["delivered"]
        yield f"the answer to {name}", any(f.protocol == flow.protocol for f in told)
        if flow.protocol == _TCP:
            more = build.tcp(
                *messages.addresses(packet), PORT, flow.dport or 0, "PA", NUMBERS, b"x"
            )
            yield f"more of {name}", bool(self._own(UPLINK, more)[UPLINK])
        yield from self._errors(flow, UPLINK, "", name)

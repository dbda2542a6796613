"""Shots: every probe from every place to every class in every family, as the bytes that are sent.

Each shot carries a marker of eight bytes that looks random: four are the run's own, four count. It
names the shot that a leaked frame came from, also behind NAT, and in the quote of an ICMP error.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leaktests.engine.place import Place, places
from leaktests.engine.probe import Aim, Probe, restricted
from leaktests.engine.target import Target, targets
from netchain.model.allowed import Direction
from netchain.model.chain import Chain


@dataclass(frozen=True)
class Shot:
    """One frame of a probe on its way from a place to a target."""

    probe: Probe
    place: Place
    target: Target
    marker: bytes
    frame: bytes

    def __str__(self) -> str:
        return f"{self.probe.id} {self.probe.name}, {self.place.name}, to {self.target.address}"


class Markers:
    """Counts shots; `of` finds the number that a frame carries."""

    def __init__(self, seed: int) -> None:
        self._run = random.Random(seed).randbytes(4)  # noqa: S311 - it must only be told apart
        self._mask = random.Random(seed + 1).getrandbits(32)  # noqa: S311
        self.count = 0

    def next(self) -> tuple[int, bytes]:
        self.count += 1
        return self.count, self._run + (self.count ^ self._mask).to_bytes(4)

    def of(self, frame: bytes) -> int | None:
        """The number in the frame's marker, raw or (in a DNS name) in hexadecimal digits."""
        at = frame.find(self._run)
        if at >= 0:
            return self._number(frame[at + 4 : at + 8])
        at = frame.find(self._run.hex().encode())
        try:
            return (
                self._number(bytes.fromhex(frame[at + 8 : at + 16].decode())) if at >= 0 else None
            )
        except ValueError:
            return None

    def _number(self, masked: bytes) -> int | None:
        return int.from_bytes(masked) ^ self._mask if len(masked) == 4 else None


def shots(
    chain: Chain, probes: Iterable[Probe], markers: Markers, every: Sequence[Place] = ()
) -> list[Shot]:
    """Every shot of the probes in the chain, from these places (none: both ends of every link);
    scapy takes about half a millisecond for each."""
    classes = targets(chain)
    found: list[Shot] = []
    every = every or places(chain)
    for probe in (restricted(probe, classes) for probe in probes):
        ends = [p for p in every if p.direction is probe.direction and p.role in probe.roles]
        for place in ends:
            for name in probe.classes:
                found += _towards(probe, place, classes[name], markers)
    return found


def _towards(
    probe: Probe, place: Place, both: Sequence[Target], markers: Markers
) -> Iterator[Shot]:
    for target in both:
        if target.version not in probe.families:
            continue
        if place.direction is Direction.DOWN:
            target = Target(target.name, place.peer(target.version))
        number, marker = markers.next()
        aim = Aim(place, target, marker, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scapy's, about what is malformed on purpose
            frames = [bytes(packet) for packet in probe.packets(aim)]
        for frame in frames:
            yield Shot(probe, place, target, marker, frame)

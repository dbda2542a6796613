"""A sweep: all shots of one state in one capture window, without any sleep.

Theory of operation: the sensor hears every link already. The shots are sent in bursts that the
smallest kernel buffer holds, each burst followed by a canary over every link; what was sent before
a canary has been heard when the canary is. Then every frame that any link carried since the last
sweep is judged by `allowed()`; a frame that is not allowed is a leak, whoever sent it, and its
marker names the shot that it came from. A shot that was not heard on its own link was not sent, and
proves nothing.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from leaktests.engine.place import Place
from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot
from netchain.model.chain import Chain
from netchain.prove import Sensor
from netchain.wire.judge import Leak, LinkVerdict, judge
from netchain.wire.timeline import Timeline

CLEAN, LEAK, INCONCLUSIVE = "clean", "leak", "inconclusive"
_BURST = 2000
_BUSY_S = 5.0
_FULL = (errno.ENOBUFS, errno.EAGAIN)


@dataclass(frozen=True)
class Found:
    """A leak and the shot that it came from; None for a frame that carries no marker."""

    leak: Leak
    shot: Shot | None


@dataclass(frozen=True)
class Sweep:
    """What one sweep showed. `shots` counts the packets of each probe; `unsent` are those that
    proved nothing, each with the reason."""

    state: str
    shots: Mapping[Probe, int]
    links: tuple[LinkVerdict, ...]
    found: tuple[Found, ...]
    unsent: tuple[tuple[Shot, str], ...]
    doubts: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        if self.found:
            return LEAK
        return INCONCLUSIVE if self.unsent or self.doubts else CLEAN


def merged(state: str, sweeps: Sequence[Sweep]) -> Sweep:
    """Several sweeps as one."""
    shots = sum((Counter(one.shots) for one in sweeps), Counter[Probe]())
    by_link: dict[str, list[LinkVerdict]] = {}
    for verdict in (verdict for one in sweeps for verdict in one.links):
        by_link.setdefault(verdict.link, []).append(verdict)
    judged = tuple(
        LinkVerdict(
            name, sum(v.frames for v in some), tuple(leak for v in some for leak in v.leaks)
        )
        for name, some in by_link.items()
    )
    return Sweep(
        state, shots, judged,
        tuple(found for one in sweeps for found in one.found),
        tuple(pair for one in sweeps for pair in one.unsent),
        tuple(dict.fromkeys(doubt for one in sweeps for doubt in one.doubts)),
        sum(one.seconds for one in sweeps),
    )  # fmt: skip


def run(
    state: str, chain: Chain, sensor: Sensor, timeline: Timeline, shots: Sequence[Shot],
    markers: Markers,
) -> Sweep:  # fmt: skip
    """Send the shots (none: only listen), and judge all that any link carried since the last sweep.

    Afterwards the sensor has forgotten it.
    """
    start = time.monotonic()
    refused, doubts = _send(sensor, shots)
    frames, injected = sensor.take()
    heard = {link: {captured.frame for captured in found} for link, found in frames.items()}
    unsent = [
        (shot, refused.get(shot.frame, "it was not heard on its own link"))
        for shot in shots
        if shot.frame not in heard[shot.place.link.name]
    ]
    verdicts = judge(chain, timeline, frames, injected)
    by_number = {markers.of(shot.marker): shot for shot in shots}
    found = [
        Found(leak, by_number.get(markers.of(leak.frame)))
        for verdict in verdicts
        for leak in verdict.leaks
    ]
    return Sweep(
        state, Counter(shot.probe for shot in shots), tuple(verdicts), tuple(found), tuple(unsent),
        (*doubts, *sensor.doubts()), time.monotonic() - start,
    )  # fmt: skip


def _send(sensor: Sensor, shots: Sequence[Shot]) -> tuple[dict[bytes, str], list[str]]:
    """Send all; what the kernel refused and why, and canaries that were not heard."""
    refused: dict[bytes, str] = {}
    doubts: list[str] = []
    for burst in _parts(shots, _BURST):
        for place, alike in groupby(burst, key=attrgetter("place")):
            refused |= _inject(sensor, place, [shot.frame for shot in alike])
        doubts = doubts or sensor.settle()  # who is deaf is not waited for again and again
    # Once more in any case: where it can be heard, all that was sent must have been.
    return refused, list(dict.fromkeys([*doubts, *sensor.settle()]))


def _parts(shots: Sequence[Shot], size: int) -> Iterator[Sequence[Shot]]:
    for start in range(0, len(shots), size):
        yield shots[start : start + size]


def _inject(sensor: Sensor, place: Place, frames: list[bytes]) -> dict[bytes, str]:
    """Send all from one place, those refused apart; a full queue is waited for."""
    refused: dict[bytes, str] = {}
    deadline = time.monotonic() + _BUSY_S
    while frames:
        try:
            frames = frames[sensor.inject_all(place.link.name, frames, place.direction) :]
        except OSError as error:
            if error.errno in _FULL and time.monotonic() < deadline:
                time.sleep(0.001)  # a bounded poll: nothing tells that the queue has room again
                continue
            refused[frames.pop(0)] = f"it could not be sent: {error.strerror}"
    return refused

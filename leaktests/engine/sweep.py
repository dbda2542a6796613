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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot
from netchain.model.chain import Chain
from netchain.prove import Sensor
from netchain.wire.judge import Leak, LinkVerdict, Timeline, judge

CLEAN, LEAK, INCONCLUSIVE = "clean", "leak", "inconclusive"
_BURST = 2000
_BUSY_S = 5.0


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
    for number, shot in enumerate(shots, 1):
        try:
            _inject(sensor, shot)
        except OSError as error:
            refused[shot.frame] = f"it could not be sent: {error.strerror}"
        if number % _BURST == 0:
            doubts += sensor.settle()
    return refused, doubts + sensor.settle()


def _inject(sensor: Sensor, shot: Shot) -> None:
    """Send one; a full queue is waited for."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            sensor.inject(shot.place.link.name, shot.frame, shot.place.direction)
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS or time.monotonic() > deadline:
                raise
            time.sleep(0.001)  # a bounded poll: nothing tells that the queue has room again

"""A trial: one fault under a flood, from before it until the chain is whole again.

Theory of operation: every link and tunnel is heard, the flood goes on, the fault acts and is made
sure of, the flood goes on for a good while, the fault is taken back, `apply.up` makes the chain
whole. Then everything that any link carried meanwhile is judged by `allowed()`. Clean needs, beside
silence: the flood was heard on its own links at its rate, the act took effect, what went down is
what was expected to, the chain is whole, and every tap heard a canary at the end and lost nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from leaktests.engine import flood
from leaktests.engine.ears import arm
from leaktests.engine.fault import Bench, Fault, NoEffectError
from leaktests.engine.flood import Flood
from leaktests.engine.outcome import Trial
from leaktests.engine.shot import Markers, Shot
from leaktests.engine.sweep import Found
from netchain import apply
from netchain.errors import NetchainError
from netchain.model.chain import Chain
from netchain.site import Site
from netchain.wire.capture import Captured
from netchain.wire.judge import judge


def run(fault: Fault, chain: Chain, site: Site, markers: Markers) -> Trial:
    """Try one fault. The chain is whole again afterwards, or the trial's doubts say why not."""
    start = time.monotonic()
    shots = flood.frames(chain, fault.id, fault.name, markers)
    deaf = arm(chain, site)
    with Flood(site.sensor, shots) as sender:
        bench = Bench(chain, site, markers, sender)
        doubts = [*deaf, *_break(fault, bench)]
        unmended = _mend(chain, site)
    doubts += [f"the flood ended by itself: {sender.failed}"] if sender.failed else []
    doubts += _heard_again(bench)
    frames, injected = site.sensor.take()
    heard = _heard(shots, frames)
    verdicts = judge(chain, site.timeline, frames, injected)
    doubts += [*_flood_doubts(shots, heard, sender), *site.sensor.doubts()]
    by_number = {markers.of(shot.marker): shot for shot in (*shots, *bench.shots)}
    found = tuple(
        Found(leak, by_number.get(markers.of(leak.frame)))
        for verdict in verdicts
        for leak in verdict.leaks
    )
    if unmended:  # a leak was in the way of its proof, say: that is forgotten there now
        doubts += _mend(chain, site)
    return Trial(
        fault.id, fault.name, tuple(verdicts), found, tuple(doubts), heard.total(),
        time.monotonic() - start,
    )  # fmt: skip


def _break(fault: Fault, bench: Bench) -> list[str]:
    """Break it, let the flood go on, take it back; a doubt when it was not what it should be."""
    try:
        bench.go_on(2)
        start = time.time_ns()
        with fault.broken(bench):
            states = {**fault.states(bench.chain), **bench.changed}
            bench.site.timeline.change(start, time.time_ns(), states)
            bench.go_on()
    except (NoEffectError, NetchainError, OSError) as error:
        return [f"the fault is not what it should be: {error}"]
    return []


def _mend(chain: Chain, site: Site) -> list[str]:
    try:
        apply.up(chain, site)
    except NetchainError as error:
        return [f"the chain is not whole again: {problem}" for problem in error.problems]
    return []


def _heard_again(bench: Bench) -> list[str]:
    """Two canaries over every link (what a frame caused on another link may still be on its way),
    and whether what went down was what should."""
    sensor = bench.site.sensor
    doubts = arm(bench.chain, bench.site)
    doubts += [doubt for link in bench.outages for doubt in sensor.outage_over(link)]
    return [*doubts, *sensor.settle(), *sensor.settle()]


def _heard(shots: Sequence[Shot], frames: Mapping[str, Sequence[Captured]]) -> Counter[str]:
    """How many of the flood's packets were heard on the links that they were sent over."""
    sent: dict[str, set[bytes]] = {}
    for shot in shots:
        sent.setdefault(shot.place.link.name, set()).add(shot.frame)
    return Counter(
        {link: sum(c.frame in ours for c in frames.get(link, ())) for link, ours in sent.items()}
    )


def _flood_doubts(shots: Sequence[Shot], heard: Counter[str], sender: Flood) -> list[str]:
    found = [f"nothing of the flood was heard on {link}" for link, n in heard.items() if not n]
    rate = flood.rate(shots, heard, sender.seconds)
    if rate < flood.RATE:
        found.append(f"the flood was slower than it must be: {rate:.0f} packets a second")
    return found

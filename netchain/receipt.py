"""The receipt of a switch: what every touched link carried, how long nothing went, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netchain.model.allowed import Link, links, tunnels
from netchain.model.names import QubeName
from netchain.model.switch import Switch
from netchain.prove import Sensor, Verdict
from netchain.wire.capture import Captured


@dataclass(frozen=True)
class LinkReceipt:
    """Frames of others than ourselves on one link: before the cut, during it, after it, and those
    that were not allowed."""

    link: str
    before: int
    during: int
    after: int
    wrong: int


@dataclass(frozen=True)
class Receipt:
    """What a switch did. Times in ms.

    `cut_ms` is what the cut itself took (None where all was closed meanwhile), `gap_ms` the time
    between the last frame that the qube sent by the old link and the first one by the new; None
    when it did not send on both. `ready_ms` is from the cut until the programs behind it were
    ready; None where none are.
    """

    qube: QubeName
    before: QubeName | None
    after: QubeName | None
    links: tuple[LinkReceipt, ...]
    cut_ms: float | None
    gap_ms: float | None
    whole: Verdict
    ready_ms: float | None = None

    @property
    def wrong(self) -> int:
        return sum(each.wrong for each in self.links)

    def ready_after(self, ms: float) -> Receipt:
        return replace(self, ready_ms=ms)


def receipt(
    switch: Switch,
    cut: tuple[int, int],
    sensor: Sensor,
    verdict: Verdict,
    doubts: Sequence[str],
    *,
    live: bool,
) -> Receipt:
    """The receipt of a cut (its start and end, ns), from all that the sensor heard."""
    known = dict.fromkeys(
        link.name for one in (switch.old, switch.new) for link in (*links(one), *tunnels(one))
    )
    wrong = {found.link: len(found.leaks) for found in verdict.links}
    lines = []
    for name in known:
        if name in sensor.injected:
            times = [c.time_ns for c in _theirs(sensor, name)]
            before = sum(1 for time in times if time < cut[0])
            after = sum(1 for time in times if time > cut[1])
            during = len(times) - before - after
            lines.append(LinkReceipt(name, before, during, after, wrong.get(name, 0)))
    whole = Verdict(verdict.links, (*doubts, *verdict.doubts))
    return Receipt(
        switch.name, switch.before, switch.after, tuple(lines),
        (cut[1] - cut[0]) / 1e6 if live else None,
        _gap_ms(switch, cut, sensor), whole,
    )  # fmt: skip


def _gap_ms(switch: Switch, cut: tuple[int, int], sensor: Sensor) -> float | None:
    if switch.before is None or switch.after is None:
        return None
    old, new = (Link(switch.name, end).name for end in (switch.before, switch.after))
    last = [c.time_ns for c in _theirs(sensor, old) if not c.outgoing and c.time_ns <= cut[1]]
    first = [c.time_ns for c in _theirs(sensor, new) if not c.outgoing and c.time_ns >= cut[0]]
    return (min(first) - max(last)) / 1e6 if last and first else None


def _theirs(sensor: Sensor, link: str) -> list[Captured]:
    """None where nobody listened: that is a doubt of its own."""
    if link not in sensor.injected:
        return []
    ours = sensor.injected[link]
    return [captured for captured in sensor.tap.frames(link) if captured.frame not in ours]

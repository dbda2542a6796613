"""Trials: netchain is brought to a point, something is killed there, and the chain converges."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from crash_proxy import Message
from crash_scene import Scene
from crash_watch import Point, Run

Blow = Callable[[Run, Message], Message | None]


@dataclass(frozen=True)
class Verb:
    """A command that changes a chain: its words, and those that bring it to where it begins."""

    name: str
    words: tuple[str, ...]
    ready: tuple[str, ...]


VERBS = (
    Verb("up", ("up",), ("down",)),
    Verb("down", ("down",), ("up",)),
)
"""One line a verb."""


@dataclass
class Kill:
    """What one blow brought. It counts when `doubts` is empty: the flood was heard after it."""

    what: str
    flood: int
    doubts: list[str]
    outside: list[str]
    converged: bool
    why: str = ""

    def __str__(self) -> str:
        words = [f"{self.what}: {self.flood} flood packets afterwards"]
        words += [f"does not count: {doubt}" for doubt in self.doubts]
        words += [f"OUTSIDE: {leak}" for leak in dict.fromkeys(self.outside)]
        words += [] if self.converged else [f"NOT CONVERGED: {self.why}"]
        return "; ".join(words)


def kill_cli(run: Run, _: Message) -> None:
    """SIGKILL to the command."""
    run.kill()


def points(scene: Scene, verb: Verb) -> list[tuple[Point, str]]:
    """Every instant at which the verb can be struck, and what it does there."""
    scene.command(*verb.ready)
    run = scene.command(*verb.words)
    numbers = range(1, len(run.effects) + 1)
    return [(Point(n, when), run.effects[n - 1]) for n in numbers for when in ("before", "asked")]


def strike(scene: Scene, verb: Verb, at: Point, blow: Blow = kill_cli, by: str = "CLI") -> Kill:
    """Bring the chain to where the verb begins, strike at that point, look, and bring it up."""
    with scene.flooded():
        scene.command(*verb.ready)
        run = Run((*verb.words[:1], scene.target, *verb.words[1:]), scene.netchain.state / "said")
        run.at, run.blow = at, blow
        scene.start(run).wait()
        what = f"{verb.name}, {by} {at} ({run.struck or 'not reached'})"
        doubts = [] if run.struck else ["the point was not reached"]
        return _look(scene, what, doubts)


def _look(scene: Scene, what: str, doubts: list[str]) -> Kill:
    opened = [f"{name} is open, and nothing opened it" for name in scene.opened()]
    count, more = scene.heard_after()
    converged, why = converges(scene)
    scene.flood.stop()
    outside, still = scene.judged()
    return Kill(what, count, [*doubts, *more, *still], [*opened, *outside], converged, why)


def converges(scene: Scene) -> tuple[bool, str]:
    """Whether the next `up` brings the chain up, proved, and leaves nothing to do."""
    try:
        scene.command("up")
    except AssertionError as error:
        return False, str(error)
    left = scene.differs()
    return not left, "; ".join(left)


@dataclass
class Summary:
    """Over many kills."""

    kills: int = 0
    tried: int = 0
    flood_after_kill_min: int = 0
    outside_allowed: int = 0
    converged: int = 0

    @classmethod
    def of(cls, found: Iterable[Kill]) -> Summary:
        every = list(found)
        counting = [kill for kill in every if not kill.doubts]
        return cls(
            len(counting), len(every), min((kill.flood for kill in counting), default=0),
            sum(len(kill.outside) for kill in every), sum(kill.converged for kill in every),
        )  # fmt: skip


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

"""Trials: netchain is brought to a point, something is killed there, and the chain converges.

What cannot count: kills at which no qube has a netvm yet (the first effects of `up`, the last of
`down`): there is no link that a flood could come over. They are tried all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from commands import Netchain
from crash_proxy import Message
from crash_scene import NO_LINK, Scene, scene
from crash_watch import ASKED, BEFORE, Point, Run

from netchain.model.addressing import UPLINK
from netchain.model.chain import Role

Blow = Callable[[Run, Message], Message | None]


def nothing(_: Scene) -> None:
    """The chain is left as it is."""


def drift(scene: Scene) -> None:
    """A rule too many in sys-net, and a firewall's link that says it was wired otherwise: `up` then
    blocks what is open, stops programs, and takes a link away."""
    chain, backend = scene.chain, scene.site.backend
    firewall = chain.with_role(Role.FIREWALL)[0].name
    label = {"do": "link", "dev": UPLINK, "alias": "uplink wan0 otherwise"}
    rule = "add rule inet netchain forward counter drop\n"
    backend.load_rules(chain, chain.with_role(Role.NET)[0].name, rule)
    backend.keeper.ask("configure", node=f"{chain.name}:{firewall}", changes=[label])


@dataclass(frozen=True)
class Verb:
    """A command that changes a chain: its words, those that bring the chain to where it begins, and
    what is done to it there. `CHAIN` in a word stands for the chain's name."""

    name: str
    words: tuple[str, ...]
    ready: tuple[str, ...]
    spoil: Callable[[Scene], None] = nothing


VERBS = (
    Verb("up", ("up", "CHAIN"), ("down", "CHAIN")),
    Verb("mend", ("up", "CHAIN"), ("up", "CHAIN"), drift),
    Verb("down", ("down", "CHAIN"), ("up", "CHAIN")),
)
"""One line a verb."""

TO_AND_FRO = ("work", "vpn-b")
SWITCH = Verb("netvm", ("netvm", "CHAIN:work", "vpn-b"), ("netvm", "CHAIN:work", "vpn-a"))
"""In the chain of leaktests/engine/switches.py."""


@dataclass
class Kill:
    """What one blow brought. It counts when `doubts` is empty: the flood was heard after it."""

    what: str
    flood: int
    doubts: list[str]
    outside: list[str]
    converged: bool
    why: str = ""
    status: int | None = None
    """Exit code of the command that was struck; -9 when it was killed."""
    said: str = ""

    @property
    def cannot_count(self) -> bool:
        """There was no link for a flood, and that is all that is wrong."""
        return self.doubts == [NO_LINK]

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
    """Every instant at which the verb can be struck, and what it does there; found out once."""
    if verb.name not in scene.effects:
        _ready(scene, verb)
        scene.effects[verb.name] = scene.command(*verb.words).effects
    told = list(enumerate(scene.effects[verb.name], 1))
    return [(Point(n, when), effect) for n, effect in told for when in (BEFORE, ASKED)]


def strike(
    scene: Scene, verb: Verb, at: Point | None = None, blow: Blow = kill_cli, by: str = "CLI",
    prefix: tuple[str, ...] = (), more: tuple[str, ...] = (),
    around: AbstractContextManager[None] | None = None,
) -> Kill:  # fmt: skip
    """Bring the chain to where the verb begins, strike at that point (or let it fail by itself),
    look, and bring it up. `around` lasts as long as the command."""
    with scene.flooded():
        _ready(scene, verb)
        run = _run(scene, verb, prefix, more)
        run.at, run.blow = at, blow
        with around or nullcontext():
            status = scene.start(run).wait()
        doubts = ["the point was not reached"] if at and not run.struck else []
        what = f"{verb.name}, {by} {at or ''} ({run.struck or 'by itself'})"
        opened = [f"{name} is open, and nothing opened it" for name in scene.opened()]
        count, more_doubts = scene.heard_after()
        converged, why = converges(scene)
        scene.flood.stop()
        outside, still = scene.judged()
    doubts += [*more_doubts, *still]
    said = run.said_at_end
    return Kill(what, count, doubts, [*opened, *outside], converged, why, status, said)


def strike_keeper(netchain: Netchain, target: str, verb: Verb, at: Point) -> Kill:
    """The same with the keeper, and with it every process of the site. What this process holds of
    the site stays under the flood until the lab and another chain are up."""
    with scene(netchain, target) as one, one.flooded():
        _ready(one, verb)
        run = _run(one, verb)
        run.at, run.blow = at, lambda _run, _message: one.kill_keeper()
        status = one.start(run).wait()
        doubts = [] if run.struck else ["the point was not reached"]
        count, more_doubts = one.heard_after()
        again = [netchain("lab", "up"), netchain("up", target), netchain("plan", target)]
        why = "; ".join(done.stderr for done in again if done.returncode)
        converged = not why and "no changes" in again[-1].stdout
        one.flood.stop()
        outside, still = one.judged()
    what = f"{verb.name}, keeper {at} ({run.struck})"
    doubts += [*more_doubts, *still]
    said = run.said_at_end
    return Kill(what, count, doubts, outside, converged, why or again[-1].stdout, status, said)


def _ready(scene: Scene, verb: Verb) -> None:
    scene.command(*verb.ready)
    verb.spoil(scene)


def _run(scene: Scene, verb: Verb, prefix: tuple[str, ...] = (), more: tuple[str, ...] = ()) -> Run:
    return Run(scene.words(*verb.words, *more), scene.netchain.state / "said", prefix=prefix)


def converges(scene: Scene) -> tuple[bool, str]:
    """Whether the next `up` brings the chain up, proved, and leaves nothing to do."""
    try:
        scene.command("up", "CHAIN", "--wait")
    except AssertionError as error:
        return False, str(error)
    left = scene.differs()
    return not left, "; ".join(left)


@dataclass
class Summary:
    """Over many kills. `kills` are those that counted; `cannot_count` had no link to flood."""

    kills: int
    flood_after_kill_min: int
    outside_allowed: int
    converged: int
    tried: int
    cannot_count: int

    @classmethod
    def of(cls, found: Iterable[Kill]) -> Summary:
        every = list(found)
        counting = [kill for kill in every if not kill.doubts]
        return cls(
            len(counting), min((kill.flood for kill in counting), default=0),
            sum(len(kill.outside) for kill in every), sum(kill.converged for kill in every),
            len(every), sum(kill.cannot_count for kill in every),
        )  # fmt: skip

"""A fault is data: an id of the catalogue, a sentence, and what breaks.

A topic declares it with `@topic.fault(...)` over a generator that breaks something, makes sure that
it is broken (`Bench.wait`), yields while the flood goes on, and takes back what `apply.up` does not
mend by itself. An act that turned out to do nothing is a doubt of its trial, never clean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from leaktests.engine.flood import Flood
from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot, shots
from netchain.backends.base import Completed, User
from netchain.backends.netns.backend import NetnsBackend
from netchain.model import addressing
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain, Qube, QubeState, Role
from netchain.model.names import QubeName
from netchain.site import Site

_WAIT_S, _POLL_S, _FLOOD_S = 10.0, 0.01, 60.0
Act = Callable[["Bench"], Iterator[None]]


ROUNDS = 5
"""How often each shot of the flood is sent, at least, while a fault lasts."""


class NoEffectError(Exception):
    """What was to be broken is not."""


class Bench:
    """What a fault has in its hands: the chain, its programs, and the lab's hosts around it.

    Without a flood it goes on at once.
    """

    def __init__(self, chain: Chain, site: Site, markers: Markers, flood: Flood | None) -> None:
        self.chain, self.site = chain, site
        self.shots: list[Shot] = []
        self.outages: list[Link] = []
        self._markers, self._flood = markers, flood
        self._ports = count(30000 + time.time_ns() % 10000)
        self.changed: dict[QubeName, QubeState] = {}

    def qube(self, role: Role) -> Qube:
        """The qube of that role on a workstation's way."""
        found = self.chain.on_the_way(role)
        assert found is not None
        return found

    def uplink_name(self, qube: Qube) -> str:
        """The name of the interface: another one since the qube was switched."""
        return self.site.backend.uplink(self.chain, self.uplink(qube))

    def uplink(self, qube: Qube) -> Link:
        return Link(qube.name, qube.netvm)

    def port(self, qube: Qube) -> tuple[str, str]:
        """The far end of the qube's uplink: the node that it is in, and the interface."""
        if qube.netvm is None:
            assert self.chain.wan is not None
            return "lab:isp", self.chain.wan.port
        node = f"{self.chain.name}:{qube.netvm}"
        return node, addressing.downstream_interface(self.chain, qube.name)

    def run(self, qube: Qube, *argv: str, stdin: bytes = b"") -> str:
        """What a program of the qube's root prints; NoEffectError when it fails."""
        done = self.site.backend.execute(self.chain, qube.name, argv, stdin=stdin, timeout=20)
        return _output(argv, done)

    def on(self, node: str, *argv: str, stdin: bytes = b"") -> str:
        """The same at a node of the site by its name, also one of the lab's hosts."""
        return _output(argv, self.netns.keeper.execute(node, argv, stdin, 20, User.ROOT))

    @property
    def netns(self) -> NetnsBackend:
        """NoEffectError on another backend: faults are for the lab."""
        if not isinstance(self.site.backend, NetnsBackend):
            raise NoEffectError("faults can be tried in the lab only")
        return self.site.backend

    def pids(self, qube: Qube, program: str) -> list[str]:
        """Its processes of that name, as the qube numbers them."""
        script = 'pgrep -x "$0" || true'
        return self.run(qube, "sh", "-c", script, program).split()

    def state_of(self, qube: Qube, pid: str) -> str:
        """The letter of ps(1) for a process; "" when it has ended."""
        script = "sed 's/.*) //' /proc/$0/stat 2>/dev/null || true"
        return self.run(qube, "sh", "-c", script, pid)[:1].replace("Z", "")

    def wait(self, condition: Callable[[], bool], words: str) -> None:
        """Wait for what the act was to bring about; NoEffectError with the words after 10 s."""
        deadline = time.monotonic() + _WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise NoEffectError(words)
            time.sleep(_POLL_S)  # a bounded poll

    def require(self, holds: bool, words: str) -> None:
        """NoEffectError with the words when it does not."""
        if not holds:
            raise NoEffectError(words)

    def send(self, link: Link, *frames: bytes, direction: Direction = Direction.DOWN) -> None:
        """Put frames on a link, and wait until they were heard there."""
        tap = self.site.sensor.tap
        mark = tap.mark()
        for frame in frames:
            self.site.sensor.inject(link.name, frame, direction)
        for frame in frames:
            if tap.wait_for(frame, [link.name], _WAIT_S, mark):
                raise NoEffectError(f"a frame of the attacker's was not heard on {link.name}")

    def go_on(self, rounds: int = ROUNDS) -> None:
        """Let the flood go on for a while; NoEffectError when it does not."""
        if self._flood is None:
            return
        enough = self._flood.wait(rounds * self._flood.round, _FLOOD_S)
        self.require(enough, "the flood stopped while the fault lasted")

    def probe(self, probes: Iterable[Probe]) -> None:
        """Send probes of the catalogue from everywhere, as a sweep does."""
        sent = shots(self.chain, probes, self._markers)
        self.shots += sent
        for shot in sent:
            self.site.sensor.inject(shot.place.link.name, shot.frame, shot.place.direction)
        self.require(bool(sent), "there was nothing to send")

    def port_number(self) -> int:
        """A source port that no earlier flow had."""
        return next(self._ports)

    def expect_outage(self, link: Link) -> None:
        """The act takes the link down, once; the trial looks whether it did."""
        self.site.sensor.expect_outage(link)
        self.outages.append(link)


def _output(argv: tuple[str, ...], done: Completed) -> str:
    if done.status:
        words = done.stderr.decode(errors="replace").strip()[-200:]
        raise NoEffectError(f"{' '.join(argv[:4])}: {words or f'status {done.status}'}")
    return done.stdout.decode(errors="replace")


@dataclass(frozen=True)
class Fault:
    """What breaks. `degrades` is the role whose qubes lose their program by it; `needs` are the
    roles without which there is no such fault."""

    id: str
    name: str
    act: Act = field(repr=False, compare=False)
    degrades: Role | None = None
    needs: frozenset[Role] = frozenset()

    def exists(self, chain: Chain) -> bool:
        return all(chain.with_role(role) for role in self.needs)

    def broken(self, bench: Bench) -> AbstractContextManager[None]:
        """A context in which it is broken."""
        return contextmanager(self.act)(bench)

    def states(self, chain: Chain) -> dict[QubeName, QubeState]:
        """The states that it brings qubes into."""
        qubes = chain.with_role(self.degrades) if self.degrades is not None else ()
        return {qube.name: QubeState.DEGRADED for qube in qubes}


class Faults:
    """The faults of one topic, in the order in which they are declared."""

    def __init__(self, *needs: Role) -> None:
        self.faults: list[Fault] = []
        self._needs = frozenset(needs)

    def fault(self, id_: str, name: str, **more: Any) -> Callable[[Act], Act]:
        """Declare a fault: its id in the catalogue, what happens, and Fault's other fields."""

        def declare(act: Act) -> Act:
            self.faults.append(Fault(id_, name, act, **{"needs": self._needs, **more}))
            return act

        return declare

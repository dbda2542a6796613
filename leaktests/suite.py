"""A whole run on a chain that is up: states, control, a `Run` for the reports.

Theory of operation: every link and tunnel is heard from before the first probe to after the last.
For each state the chain is brought there, swept with all shots, and made whole again by
`apply.up`, which proves it anew; what is heard on the way back is judged, too. Last comes the
control (in the lab only): one gateway opened, each probe must be seen. Whatever goes wrong ends the
run there: what was found until then counts, and the reason makes it inconclusive.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain as chained
from itertools import count

from leaktests import conditions
from leaktests.catalogue.ids import entries
from leaktests.catalogue.status import status
from leaktests.engine import control, ports, real, state, sweep, trial
from leaktests.engine.ahead import Ahead
from leaktests.engine.ears import arm
from leaktests.engine.fault import Fault
from leaktests.engine.outcome import Control, Run, Tap, Trial
from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot, shots
from leaktests.engine.state import CONNECTED, STATES, State
from leaktests.engine.sweep import Sweep
from netchain import apply
from netchain.errors import NOTHING_CHANGED, Exit, NetchainError, Problem
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Chain, QubeState
from netchain.model.names import QubeName
from netchain.model.observed import Observed
from netchain.model.plan import Plan, Prove
from netchain.site import Say, Site

_PORTS = "every port and protocol"
AS_FOUND = "as found"
"""The state of a chain that differs from its profile: it is swept as it is, and left so."""


@dataclass(frozen=True)
class Wanted:
    """What to do: probes, the states by name (in the order of STATES), faults, whether to sweep
    every port and protocol, what is allowed on a real chain, too (words of `real`), the seed."""

    probes: Sequence[Probe]
    states: Sequence[str] = tuple(known.name for known in STATES)
    faults: Sequence[Fault] = ()
    ports: bool = False
    allow: frozenset[str] = frozenset()
    seed: int = 0
    command: str = "netchain leaktest"


@dataclass
class _Progress:
    """What is known so far."""

    sweeps: list[Sweep] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    control: Control | None = None
    proofs: int = 0


def run(chain: Chain, site: Site, wanted: Wanted, say: Say = lambda _: None) -> Run:
    """Test the chain; it is whole again afterwards, or closed, or as it was found. `say` is told
    what is being done.

    NetchainError (exit 3) when qubes of it are missing: then nothing was sent.
    """
    started, clock = time.time(), time.monotonic()
    observed = site.backend.observe(chain)
    _require(chain, observed)
    differs = apply.plan(chain, site)
    site.timeline.change(0, 0, _found(observed, differs))
    arm(chain, site)  # what cannot be heard makes the run inconclusive (Run.inconclusive)
    told = conditions.of(chain, observed, differs)
    suite = _Suite(chain, site, wanted, told, say)
    with suite.ahead:
        try:
            suite.all_states(differs)
        except NetchainError as error:
            suite.stopped(error)
        suite.listen("the end")
        return suite.result(started, time.monotonic() - clock)


def _require(chain: Chain, observed: Observed) -> None:
    missing = [str(qube.name) for qube in chain.qubes if qube.name not in observed.qubes]
    if missing:
        title = f"chain {chain.name} is not up: {', '.join(missing)} missing"
        hint = f"netchain up {chain.name}"
        raise NetchainError(Problem("E057", title, help=hint), Exit.NOT_READY)


def _found(observed: Observed, differs: Plan) -> dict[QubeName, QubeState]:
    """The states as they are: what is closed, what lacks a program or differs otherwise."""
    broken = {step.qube for step in differs}
    found: dict[QubeName, QubeState] = {}
    for name, have in observed.qubes.items():
        open_state = QubeState.DEGRADED if name in broken else QubeState.READY
        found[name] = QubeState.BLOCKED if have.blocked else open_state
    return found


class _Suite:
    """One run in progress."""

    def __init__(
        self, chain: Chain, site: Site, wanted: Wanted, conditions: Mapping[str, str], say: Say
    ) -> None:
        self.chain, self.site, self.wanted = chain, site, wanted
        self.conditions, self.say = conditions, say
        self.known = _Progress()
        self._seeds = count(wanted.seed << 8)
        self.ahead = Ahead(self._built)

    def all_states(self, differs: Plan) -> None:
        """Each wanted state, then the control; of a chain that differs only itself."""
        if differs:
            self.sweep(AS_FOUND)
            first = f"the chain differs from its profile ({' '.join(str(differs[0]).split())})"
            self.known.doubts.append(f"{first}: there is no control, and only this state")
            self.known.skipped += [(f"state {name}", first) for name in self.wanted.states]
            return
        for known in self._states():
            self._one_state(known)
        if not self.wanted.ports:
            self.known.skipped.append((_PORTS, "not asked for"))
        elif not self._may(real.SWEEPS):
            self._refused(_PORTS, real.SWEEPS)
        else:
            self._ports()
        self._faults()
        if self.wanted.probes:
            self._control()

    def _states(self) -> Iterator[State]:
        for known in STATES:
            if known.name not in self.wanted.states:
                self.known.skipped.append((f"state {known.name}", "not asked for"))
            elif not known.exists(self.chain):
                self.known.skipped.append((f"state {known.name}", f"no {known.needs} here"))
            elif known.name != CONNECTED and not self._may(real.FAULTS):
                self._refused(f"state {known.name}", real.FAULTS)
            else:
                yield known

    def _may(self, what: str) -> bool:
        """In the lab everything; on a real chain what was allowed."""
        return self.site.is_lab or what in self.wanted.allow

    def _refused(self, what: str, word: str) -> None:
        self.known.skipped.append((what, f"a real chain: only with --allow {word}"))

    def _one_state(self, known: State) -> None:
        self.say(f"state {known.name}")
        state.enter(known, self.chain, self.site)
        self.sweep(known.name)
        if known.name != CONNECTED:
            self.ahead.begin()  # while the chain is waited for
            self._mend(f"back from {known.name}")

    def _ports(self) -> None:
        """Sweep after sweep of the whole chain; in the report they are one."""
        markers = Markers(next(self._seeds))
        found = []
        for name, sent in ports.sweeps(self.chain, markers):
            self.say(f"{_PORTS}, {name}")
            found.append(self._swept(_PORTS, list(sent), markers))
        self.known.sweeps.append(sweep.merged(_PORTS, found))

    def _faults(self) -> None:
        if not self._may(real.FAULTS):
            self._refused(f"{len(self.wanted.faults)} faults", real.FAULTS)
            return
        for fault in self.wanted.faults:
            if fault.exists(self.chain):
                self.say(f"fault {fault.id}: {fault.name}")
                markers = Markers(next(self._seeds))
                self.known.trials.append(trial.run(fault, self.chain, self.site, markers))
            else:
                needs = ", ".join(sorted(fault.needs))
                self.known.skipped.append((f"{fault.id} {fault.name}", f"no {needs} here"))

    def _control(self) -> None:
        if not self.site.is_lab:
            self.say("control: the chain's own traffic must be seen on every link")
            self.known.control = real.known_flow(self.chain, self.site)
            return
        self.say("control: a gateway opened, every probe must be seen")
        self.known.control = control.run(self.chain, self.site, *self._shots())
        self._mend("back from the control")

    def _mend(self, name: str) -> None:
        """Make the chain whole; what any link carried meanwhile is judged."""
        self.say(name)
        try:
            steps = apply.up(self.chain, self.site)
            self.known.proofs += any(isinstance(step, Prove) for step in steps)
        finally:
            self.listen(name)
        arm(self.chain, self.site)

    def _shots(self) -> tuple[list[Shot], Markers]:
        """All shots anew: with the ports of the last ones they would be taken for its flows."""
        every, markers = self.ahead.take()
        hears = self.site.sensor.hears
        return [shot for shot in every if hears(shot.place.link)], markers

    def _built(self) -> tuple[list[Shot], Markers]:
        markers = Markers(next(self._seeds))
        every = shots(self.chain, self.wanted.probes, markers)
        if not self.site.is_lab:
            every = real.harmless(every, self.wanted.allow)
        return every, markers

    def sweep(self, name: str) -> None:
        self.known.sweeps.append(self._swept(name, *self._shots()))

    def listen(self, name: str) -> None:
        """Judge what was heard since the last sweep."""
        self.known.sweeps.append(self._swept(name, (), Markers(0)))

    def _swept(self, name: str, sent: Sequence[Shot], markers: Markers) -> Sweep:
        sensor, timeline = self.site.sensor, self.site.timeline
        return sweep.run(name, self.chain, sensor, timeline, sent, markers)

    def stopped(self, error: NetchainError) -> None:
        """Note why the run ended early."""
        self.known.doubts += [f"the run ended early: {problem}" for problem in error.problems]
        # One that does not come from `up` knows nothing of what the run did before.
        made = error.state != NOTHING_CHANGED
        self.known.doubts.append(error.state if made else "the chain is not whole: netchain up")

    def result(self, started: float, seconds: float) -> Run:
        known, wanted = self.known, self.wanted
        counts = Counter(str(status(id_).kind) for id_ in entries())
        untested = f"{counts['planned']} planned, {counts['excused']} excused: leaktest --list"
        known.skipped += self._without_a_place()
        known.skipped.append(("other ids of the catalogue", untested))
        return Run(
            self.chain, wanted.seed, started, seconds, wanted.command,
            sweeps=tuple(known.sweeps), trials=tuple(known.trials), control=known.control,
            taps=self._taps(), skipped=tuple(known.skipped),
            doubts=tuple(known.doubts), conditions={**self.conditions, **self._proved()},
        )  # fmt: skip

    def _without_a_place(self) -> list[tuple[str, str]]:
        """Probes that were chosen, and that nobody in this chain could send."""
        sent = {probe.id for found in self.known.sweeps for probe in found.shots}
        left = {probe.id: probe.name for probe in self.wanted.probes if probe.id not in sent}
        return [(f"{id_} {name}", "nothing of it was sent here") for id_, name in left.items()]

    def _proved(self) -> dict[str, str]:
        """What can be said only at the end."""
        times = f"{self.known.proofs} times" if self.known.proofs > 1 else "once"
        proof = (
            f"`up` proved the chain {times} in this run" if self.known.proofs else "not in this run"
        )
        was_set = self.site.sensor.clock_was_set()
        return {
            "proof": proof,
            "clock": "was set meanwhile" if was_set else "was not set meanwhile",
        }

    def _taps(self) -> tuple[Tap, ...]:
        """Every link over the whole run; a last canary tells which can still be heard."""
        sensor = self.site.sensor
        deaf, drops = sensor.deaf(), sensor.tap.drops()
        frames = Counter[str]()
        judged = [found.links for found in self.known.sweeps]
        judged += [found.links for found in self.known.trials]
        for verdict in chained.from_iterable(judged):
            frames[verdict.link] += verdict.frames
        every = (*links(self.chain), *tunnels(self.chain))
        return tuple(
            Tap(link.name, frames[link.name], link.name not in deaf, drops[link.name])
            for link in every
            if sensor.hears(link)
        )

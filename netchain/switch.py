"""Switches a qube's netvm in a running chain, and says with packets what that did.

Every link and tunnel of both paths is heard from before the first step to after the last. Until the
cut the chain is the old one, afterwards the new one, and each frame is judged by its moment
(netchain/wire/timeline.py). On any error every qube that the plan was about is closed, and the next
`up` makes the chain that is remembered: the old one until just before the cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netchain import apply, proofs, wanted
from netchain.backends.base import digest
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.addressing import address4, address6, senders_behind
from netchain.model.allowed import Link, links, tunnels
from netchain.model.chain import Address, Chain, QubeState, Role
from netchain.model.plan import Await, Block, Plan, Prove, Step
from netchain.model.switch import (
    AllowBoth,
    CutOver,
    Forget,
    Prepare,
    Reroute,
    Retire,
    Switch,
    plan_switch,
)
from netchain.nft.fill import rules_for_both
from netchain.prove import prove
from netchain.receipt import Receipt, receipt
from netchain.site import Site

_SS_S = 10.0


def plan(switch: Switch, site: Site) -> Plan:
    """The steps of the switch, in a chain that is exactly as `old` says."""
    return plan_switch(switch, wanted.desired(switch.old, site), wanted.desired(switch.new, site))


def run(switch: Switch, site: Site, remember: Callable[[], None]) -> Receipt:
    """Switch; `remember` is called when the new netvm is the one that `up` is to make.

    The chain must be up, exactly as `old` says. NetchainError: exit 10 or 12 when a packet was on a
    wrong wire or nothing is proved, 11 when one could be, 1 when a step failed (all closed then); 3
    when all is switched and proved, but a program is not ready in time (left as it is: its rules
    hold).
    """
    steps = plan(switch, site)
    _listen(switch, site)
    running = _Running(switch, site, remember)
    with _closed_on_error(switch, site, steps):
        for step in steps:
            if not isinstance(step, Await) or not running.live:
                running.step(step)
        done = running.result()
        if left := apply.plan(switch.new, site):
            raise NetchainError(Problem("E071", f"read back, this differs: {left[0]}"))
        waits = [step for step in steps if isinstance(step, Await)]
        try:
            if running.live and waits:
                done = running.ready(waits)
        except _LateError:
            proofs.require(proofs.verify(switch.new, site.backend))
            raise
        proofs.require(proofs.verify(switch.new, site.backend))
    return done


@contextmanager
def _closed_on_error(switch: Switch, site: Site, steps: Plan) -> Iterator[None]:
    """Whatever fails, all that the plan is about is closed, but for a program that is late when all
    is switched and proved."""
    try:
        yield
    except _LateError:
        raise
    except NetchainError as error:
        state = apply.close(switch.new, site, steps)
        raise NetchainError(error.problems, error.exit_code, state) from error
    except BaseException:
        apply.close(switch.new, site, steps)
        raise


class _LateError(NetchainError):
    """A program behind the switch is not ready in time."""


def _listen(switch: Switch, site: Site) -> None:
    """Hear all that there is; its qubes are ready, or closed."""
    now = time.time_ns() if site.timeline.now else 0  # what was heard before keeps its states
    old = switch.old
    states = {
        qube.name: QubeState.READY if old.is_connected(qube.name) else QubeState.BLOCKED
        for qube in old.qubes
    }
    site.timeline.change(now, now, states)
    site.timeline.switching(old)
    for link in (*links(old), *tunnels(old)):
        site.sensor.arm(old, link)


class _Running:
    """One switch in progress."""

    def __init__(self, switch: Switch, site: Site, remember: Callable[[], None]) -> None:
        self._switch, self._site, self._remember = switch, site, remember
        self.live = switch.old.is_connected(switch.name) and switch.new.is_connected(switch.name)
        self._began = time.time_ns()
        self._cut: tuple[int, int] | None = None

    def step(self, step: Step) -> None:
        """Run one step."""
        site, switch = self._site, self._switch
        if not self.live and self._cut is None and not isinstance(step, Block):
            self._remember()
            self._over(self._began, time.time_ns())
        match step:
            case AllowBoth() | Prepare() | CutOver() | Reroute() | Forget() | Retire():
                site.say(str(step))
                self._own(step)
            case Prove() if self._cut is None:
                site.say(str(step))
                self._prove_prepared(step)
            case _:
                apply.timed(switch.new, site, step)

    def _over(self, start: int, end: int) -> None:
        self._cut = start, end
        self._site.timeline.switched(start, end)

    def _own(self, step: Step) -> None:
        backend, switch, sensor = self._site.backend, self._switch, self._site.sensor
        match step:
            case AllowBoth():
                backend.load_rules(switch.new, step.qube, self._both(step))
            case Prepare():
                backend.prepare(switch.new, step.qube)
                sensor.arm(switch.new, Link(step.qube, step.netvm))
            case CutOver():
                self._remember()
                self._over(*backend.cut_over(switch.old, switch.new, step.qube))
            case Reroute():
                backend.reroute(switch.old, switch.new, step.qube)
            case Forget():
                self._forget()
            case Retire():
                sensor.settle()  # what the old link carried has been heard then
                sensor.disarm(Link(step.qube, step.netvm))
                backend.retire(switch.new, step.qube)

    def _both(self, step: Step) -> str:
        switch = self._switch
        found = wanted.facts(self._site.backend)
        return rules_for_both(switch.old, switch.new, switch.new[step.qube], found)

    def _prove_prepared(self, step: Prove) -> None:
        """The new link is there and closed, the old one works on, and nothing else is different."""
        backend, switch = self._site.backend, self._switch
        for name in step.qubes:
            loaded = digest(backend.list_rules(switch.new, name))
            both = backend.check_rules(self._both(AllowBoth(name)))
            if loaded != digest(both):
                raise NetchainError(Problem("E071", f"read back, the rules of {name} differ"))
        apply.require(prove(switch.new, self._site.sensor, self._site.timeline))

    def _forget(self) -> None:
        """The old path's flows are forgotten everywhere, and connections of the qube itself end."""
        backend, switch = self._site.backend, self._switch
        behind = senders_behind(switch.old, switch.old[switch.name])
        addresses: list[Address] = [
            find(switch.old, qube.name) for qube in behind for find in (address4, address6)
        ]
        for name in switch.passed():
            backend.forget_flows(switch.new, name, addresses)
        if switch.new[switch.name].role in (Role.TOR_GATEWAY, Role.WORKSTATION):
            end_connections(switch.new, self._site, switch)

    def result(self) -> Receipt:
        """What was heard so far, judged; NetchainError when that is not clean."""
        site, switch = self._site, self._switch
        doubts = site.sensor.settle()
        verdict = site.sensor.verdict(switch.new, site.timeline)
        assert self._cut is not None
        made = receipt(switch, self._cut, site.sensor, verdict, doubts, live=self.live)
        apply.require(made.whole)
        return made

    def ready(self, waits: list[Await]) -> Receipt:
        """Wait for the programs behind the switch: all is proved by now, and stays as it is."""
        assert self._cut is not None
        try:
            for step in waits:
                apply.timed(self._switch.new, self._site, step)
        except NetchainError as error:
            if error.exit_code is not Exit.NOT_READY:
                raise
            state = "It is switched, and proved closed: every rule holds."
            raise _LateError(error.problems, error.exit_code, state) from error
        return self.result().ready_after((time.time_ns() - self._cut[1]) / 1e6)


def end_connections(chain: Chain, site: Site, switch: Switch) -> None:
    """End the TCP connections that the qube's own programs have upstream (ss --kill, where the
    kernel can: CONFIG_INET_DIAG_DESTROY). What their last segments would be is no flow any more,
    and its own rules drop it."""
    own = " or ".join(f"src = {a}" for a in _both_families(chain, switch.name))
    clients = [a for qube in chain.clients(switch.name) for a in _both_families(chain, qube.name)]
    near = " or ".join(f"dst = {a}" for a in clients)
    wanted = f"( {own} )" + (f" and not ( {near} )" if near else "")
    argv = ["ss", "-K", "-H", "-n", "-t", "state", "connected", wanted]
    done = site.backend.execute(chain, switch.name, argv, timeout=_SS_S)
    if done.status:
        words = done.stderr.decode(errors="replace").strip()
        raise NetchainError(Problem("E072", f"ss: {words}", str(switch.name)))


def _both_families(chain: Chain, name: str) -> tuple[str, str]:
    return str(address4(chain, name)), f"[{address6(chain, name)}]"

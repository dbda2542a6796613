"""Runs a plan on a backend, proves what it touched, and fails closed.

Theory of operation of `up`: desired state is computed (each role file filled, then loaded where
nobody is: the kernel takes it, and gives the listing to compare with), what is there is observed,
`plan_up` gives the steps, each is run and logged on a timeline, and all is observed again. On any
error, also Ctrl-C, every touched qube gets blocked.nft, and the error says so; the next `up` plans
from what it sees.
"""

from __future__ import annotations

import time

from netchain import programs, proofs, wanted
from netchain.backends.base import Backend
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.allowed import Link, links, tunnels
from netchain.model.chain import Chain, QubeState
from netchain.model.disposable import Widen
from netchain.model.names import QubeName
from netchain.model.observed import UPLINK_PEER, Observed
from netchain.model.plan import (
    Attach,
    Await,
    Block,
    Create,
    Detach,
    Load,
    Plan,
    Prove,
    Remove,
    Start,
    Step,
    Stop,
    Unblock,
    plan_down,
    plan_up,
)
from netchain.nft.disposables import admission
from netchain.nft.fill import rules_for
from netchain.prove import Verdict, prove
from netchain.readiness import wait_ready
from netchain.site import Site
from netchain.undisturbed import undisturbed

_CLOSED = "The chain is left closed: every qube that was touched drops everything."
_UNCHANGED = "Nothing was changed: every qube has its rules, and they hold."
_SET_UP_S = 5.0


def plan(chain: Chain, site: Site) -> Plan:
    """The steps from what is there to the chain; changes nothing."""
    return plan_up(chain, *wanted.compared(chain, site))


def up(chain: Chain, site: Site) -> Plan:
    """Bring the chain up, from whatever is there; returns the steps that it took.

    Raises NetchainError: exit 3 when something is not ready in time, 10 or 12 when the proof finds
    a leak or proves nothing, 1 otherwise. What the plan was about is closed then, and the error's
    state says so, or what could not be closed.
    """
    since = time.time_ns() if site.timeline.now else 0  # what was heard before keeps its states
    site.timeline.change(since, since, states_of(site.backend.observe(chain)))
    steps = plan(chain, site)
    _run(chain, site, steps)
    if not steps:
        _await_all(chain, site)
    return steps


def states_of(observed: Observed) -> dict[QubeName, QubeState]:
    """Qubes that run already and are open: what they send is judged from the start."""
    found = observed.qubes
    return {n: QubeState.BLOCKED if q.blocked else QubeState.READY for n, q in found.items()}


def _await_all(chain: Chain, site: Site) -> None:
    """Nothing differs; is every program ready, too? Its rules hold in any case."""
    try:
        for qube in chain.from_uplink():
            if chain.is_connected(qube.name) and programs.wanted(chain, site, qube):
                wait_ready(chain, site.backend, qube, site.timeout, site.say)
    except NetchainError as error:
        raise NetchainError(error.problems, error.exit_code, _UNCHANGED) from error


def down(chain: Chain, site: Site) -> Plan:
    """Remove the chain; returns the steps that it took.

    Goes on past whatever fails: a qube that cannot be closed can still be removed. NetchainError
    with everything that failed, and what is left of the chain.
    """
    steps = plan_down(site.backend.living(chain))
    try:
        _end(chain, site, steps)
    except NetchainError as error:
        left = ", ".join(site.backend.living(chain).qubes)
        if left:
            state = f"These are still there: {left}. Run it again."
            raise NetchainError(error.problems, state=state) from error
    return steps


def _end(chain: Chain, site: Site, steps: Plan) -> None:
    """Every step of a `down` in one go: with a chain of many qubes, a wait for each would be long
    (20 ms and more)."""
    names = [step.qube for step in steps if isinstance(step, Remove)]
    for step in steps:
        site.say(str(step))
    for link in (*links(chain), *tunnels(chain)):
        site.sensor.disarm(link)
    start = time.time_ns()
    try:
        site.backend.end(chain, names)
    finally:
        site.timeline.change(start, time.time_ns(), dict.fromkeys(names, QubeState.BLOCKED))


def _run(chain: Chain, site: Site, steps: Plan) -> None:
    try:
        for step in steps:
            timed(chain, site, step)
        if steps and plan(chain, site):
            _read_back(chain, site)
            raise NetchainError(Problem("E071", "a workstation is still blocked"))
    except NetchainError as error:
        state = close(chain, site, steps)
        raise NetchainError(error.problems, error.exit_code, state) from error
    except BaseException:
        close(chain, site, steps)
        raise


def close(chain: Chain, site: Site, steps: Plan) -> str:
    """Block every qube that the plan was about, workstations first, past each failure; what state
    that leaves."""
    meant = {step.qube for step in steps}
    order = [qube.name for qube in reversed(chain.from_uplink()) if qube.name in meant]
    with undisturbed():
        failed = [name for name in order if not _closed(chain, site, name)]
    if not failed:
        return _CLOSED
    return f"NOT CLOSED: {', '.join(failed)}. Run: netchain down {chain.name}"


def _closed(chain: Chain, site: Site, name: QubeName) -> bool:
    """Block it; True when it is closed, or is not there."""
    try:
        timed(chain, site, Block(name))
        return True
    except Exception as error:
        site.say(f"could not block {name}: {error}")
    try:
        found = site.backend.observe(chain).qubes.get(name)
        return found is None or found.blocked
    except Exception:
        return False


def timed(chain: Chain, site: Site, step: Step) -> None:
    """Run one step, and note on the timeline when it changed what."""
    site.say(str(step))
    start = time.time_ns()
    changed = act(chain, site, step)
    site.timeline.change(start, time.time_ns(), changed)


def act(chain: Chain, site: Site, step: Step) -> dict[QubeName, QubeState]:
    """Run one step; the states that it brought qubes into."""
    backend, name = site.backend, step.qube
    match step:
        case Create():
            backend.create(chain, name)
            return {name: QubeState.BLOCKED}
        case Block():
            backend.block(chain, name)
            return {name: QubeState.BLOCKED}
        case Remove():
            _remove(chain, site, name)
            return {name: QubeState.BLOCKED}
        case Unblock():
            backend.unblock(chain, name)
            has_programs = programs.wanted(chain, site, chain[name])
            return {name: QubeState.STARTING if has_programs else QubeState.READY}
        case Await():
            wait_ready(chain, backend, chain[name], site.timeout, site.say)
            _await_set_up(chain, backend, name)
            return {name: QubeState.READY}
    _change(chain, site, step)
    return {}


def _await_set_up(chain: Chain, backend: Backend, name: QubeName) -> None:
    """A VPN may be ready before the command that set it up has ended, and would not be found
    running. Who is late is told by the read-back."""
    deadline = time.monotonic() + _SET_UP_S
    while time.monotonic() < deadline:
        have = backend.living(chain).qubes.get(name)
        if have is None or all(have.services.values()):
            return
        time.sleep(0.01)  # a bounded poll


def _change(chain: Chain, site: Site, step: Step) -> None:
    """Run a step that brings no qube into another state."""
    backend, name = site.backend, step.qube
    match step:
        case Load():
            backend.load_rules(chain, name, rules_for(chain, chain[name], wanted.facts(backend)))
        case Widen():
            lines = admission(chain, chain[step.client])
            backend.load_rules(chain, name, "".join(f"add {line}\n" for line in lines))
        case Attach():
            backend.attach(chain, name)
            site.sensor.arm(chain, Link(name, chain[name].netvm))
        case Detach():
            site.sensor.disarm(Link(name, None if step.netvm == UPLINK_PEER else step.netvm))
            backend.detach(chain, name)
        case Start():
            programs.start(chain, site, chain[name])
        case Stop():
            programs.stop(chain, site, chain[name], step.service)
        case Prove():
            prove_all(chain, site)


def _remove(chain: Chain, site: Site, name: QubeName) -> None:
    """Its links go with it, to its netvm and to its clients, and its tunnel: a tap that is open in
    its network would keep that alive, and forwarding."""
    for link in (*links(chain), *tunnels(chain)):
        if name in (link.client, link.netvm):
            site.sensor.disarm(link)
    site.backend.remove(chain, name)


def prove_all(chain: Chain, site: Site) -> None:
    """Read back, prove from the rules what holds once all is open, and sweep. NetchainError when
    there is a leak (exit 10), a packet that could leak (11) or a doubt (12)."""
    _read_back(chain, site)
    proofs.require(proofs.verify(chain, site.backend, opened=True))
    require(prove(chain, site.sensor, site.timeline))


def require(verdict: Verdict) -> None:
    """NetchainError with everything that keeps the verdict from being clean."""
    if verdict.leaks:
        found = [Problem("E080", f"leak: {leak}") for leak in verdict.leaks[:10]]
        raise NetchainError(found, Exit.LEAK)
    if verdict.doubts:
        found = [Problem("E081", f"not proved: {doubt}") for doubt in verdict.doubts]
        raise NetchainError(found, Exit.INCONCLUSIVE)


def _read_back(chain: Chain, site: Site) -> None:
    """What the kernel says must be what was asked for, but for workstations still blocked."""
    left = [s for s in plan(chain, site) if not isinstance(s, Unblock | Await | Prove)]
    if left:
        detail = ", ".join(str(step) for step in left[:5])
        raise NetchainError(Problem("E071", f"read back, these differ: {detail}"))

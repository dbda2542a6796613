"""Runs a plan on a backend, proves what it touched, and fails closed.

Theory of operation of `up`: desired state is computed (each role file filled, then loaded where
nobody is: `check_rules` both proves that the kernel takes it and gives the listing to compare
with), what is there is observed, `plan_up` gives the steps, and each is run and logged on a
timeline. After the last step everything is observed again and compared. On any error, also
Ctrl-C, every touched qube gets blocked.nft, and the error says so; nothing is undone: the next
`up` plans from what it sees.
"""

from __future__ import annotations

import time

from netchain import programs
from netchain.backends.base import Backend, digest
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.allowed import Link
from netchain.model.chain import Chain, QubeState
from netchain.model.names import QubeName
from netchain.model.plan import (
    Attach,
    Await,
    Block,
    Create,
    Desired,
    DesiredQube,
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
from netchain.nft.fill import Facts, rules_for
from netchain.prove import prove
from netchain.readiness import wait_ready
from netchain.site import Site
from netchain.vpn.wireguard import FWMARK

_CLOSED = "The chain is left closed: every qube that was touched drops everything."


def rule_texts(chain: Chain, backend: Backend) -> dict[QubeName, str]:
    """Each qube's role file, filled."""
    facts = Facts(tor_uid=backend.uids().tor, vpn_mark=FWMARK)
    return {qube.name: rules_for(chain, qube, facts) for qube in chain.qubes}


def desired(chain: Chain, site: Site) -> Desired:
    """What every qube should have; every rule file is checked, all errors come at once."""
    wanted: dict[QubeName, DesiredQube] = {}
    problems: list[Problem] = []
    for name, text in rule_texts(chain, site.backend).items():
        try:
            listing = site.backend.check_rules(text)
        except NetchainError as error:
            problems += [Problem("E070", str(p), f"rules of {name}") for p in error.problems]
            continue
        wanted[name] = DesiredQube(
            digest(listing),
            site.backend.wiring(chain, name),
            programs.wanted(chain, site, chain[name]),
        )
    if problems:
        raise NetchainError(problems)
    return wanted


def plan(chain: Chain, site: Site) -> Plan:
    """The steps from what is there to the chain; changes nothing."""
    return plan_up(chain, desired(chain, site), site.backend.observe(chain))


def up(chain: Chain, site: Site) -> Plan:
    """Bring the chain up, from whatever is there; returns the steps that it took.

    Raises NetchainError: exit 3 when something is not ready in time, 10 or 12 when the proof finds
    a leak or proves nothing, 1 otherwise; the chain is closed then.
    """
    site.timeline.change(0, 0, _observed_states(chain, site))
    steps = plan(chain, site)
    _run(chain, site, steps)
    return steps


def _observed_states(chain: Chain, site: Site) -> dict[QubeName, QubeState]:
    """Qubes that run already and are open: what they send is judged from the start."""
    found = site.backend.observe(chain).qubes
    return {n: QubeState.BLOCKED if q.blocked else QubeState.READY for n, q in found.items()}


def down(chain: Chain, site: Site) -> Plan:
    """Remove the chain; returns the steps that it took."""
    steps = plan_down(site.backend.observe(chain))
    for step in steps:
        _timed(chain, site, step)
    return steps


def _run(chain: Chain, site: Site, steps: Plan) -> None:
    touched: set[QubeName] = set()
    try:
        for step in steps:
            touched.add(step.qube)
            _timed(chain, site, step)
        if steps and plan(chain, site):
            _read_back(chain, site)
            raise NetchainError(Problem("E071", "a workstation is still blocked"))
    except NetchainError as error:
        _close(chain, site, touched)
        raise NetchainError(error.problems, error.exit_code, _CLOSED) from error
    except BaseException:
        _close(chain, site, touched)
        raise


def _close(chain: Chain, site: Site, touched: set[QubeName]) -> None:
    """Block every touched qube that is there; goes on past each failure (it may be gone)."""
    for name in touched:
        try:
            _timed(chain, site, Block(name))
        except Exception as error:
            site.say(f"could not block {name}: {error}")


def _timed(chain: Chain, site: Site, step: Step) -> None:
    site.say(str(step))
    start = time.time_ns()
    changed = _act(chain, site, step)
    site.timeline.change(start, time.time_ns(), changed)


def _act(chain: Chain, site: Site, step: Step) -> dict[QubeName, QubeState]:
    """Run one step; the states that it brought qubes into."""
    backend, name = site.backend, step.qube
    match step:
        case Create():
            backend.create(chain, name)
            return {name: QubeState.BLOCKED}
        case Block():
            backend.block(chain, name)
            return {name: QubeState.BLOCKED}
        case Load():
            backend.load_rules(chain, name, rule_texts(chain, backend)[name])
        case Attach():
            backend.attach(chain, name)
            site.sensor.arm(chain, Link(name, chain[name].netvm))
        case Detach():
            backend.detach(chain, name)
        case Unblock():
            backend.unblock(chain, name)
            has_programs = programs.wanted(chain, site, chain[name])
            return {name: QubeState.STARTING if has_programs else QubeState.READY}
        case Start():
            programs.start(chain, site, chain[name])
        case Stop():
            programs.stop(chain, site, chain[name], step.service)
        case Await():
            wait_ready(chain, site.backend, chain[name], site.timeout, site.say)
            return {name: QubeState.READY}
        case Prove():
            _prove(chain, site, step.qubes)
        case Remove():
            backend.remove(chain, name)
            return {name: QubeState.BLOCKED}
    return {}


def _prove(chain: Chain, site: Site, touched: tuple[QubeName, ...]) -> None:
    _read_back(chain, site)
    verdict = prove(chain, site.sensor, touched, site.timeline)
    if verdict.leaks:
        found = [Problem("E080", f"leak: {leak}") for leak in verdict.leaks[:10]]
        raise NetchainError(found, Exit.LEAK)
    if verdict.doubts:
        found = [Problem("E081", f"not proved: {doubt}") for doubt in verdict.doubts]
        raise NetchainError(found, Exit.INCONCLUSIVE)


def _read_back(chain: Chain, site: Site) -> None:
    """What the kernel says must be what was asked for, but for workstations still blocked."""
    left = [s for s in plan(chain, site) if not isinstance(s, Unblock | Prove)]
    if left:
        detail = ", ".join(str(step) for step in left[:5])
        raise NetchainError(Problem("E071", f"read back, these differ: {detail}"))

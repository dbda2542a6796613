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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from netchain.backends.base import Backend, digest
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.addressing import address4
from netchain.model.allowed import Link
from netchain.model.chain import Chain, Qube, QubeState, Role
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
    Unblock,
    plan_down,
    plan_up,
)
from netchain.nft.fill import Facts, rules_for
from netchain.prove import Sensor, prove
from netchain.readiness import wait_ready
from netchain.tor import torrc
from netchain.vpn import wireguard
from netchain.vpn.wireguard import WireGuard
from netchain.wire.judge import Timeline

Say = Callable[[str], None]
_CLOSED = "The chain is left closed: every qube that was touched drops everything."


@dataclass
class Site:
    """Everything that `up` needs beside the chain: secrets, Tor's extra lines, who listens."""

    backend: Backend
    sensor: Sensor
    vpns: Mapping[QubeName, WireGuard] = field(default_factory=dict)
    tor_lines: tuple[str, ...] = ()
    timeout: float = 120.0
    say: Say = lambda _: None
    timeline: Timeline = field(default_factory=Timeline)


def services_of(qube: Qube) -> tuple[str, ...]:
    """The supervised programs that the qube's role needs."""
    return {Role.VPN_PROXY: (wireguard.SERVICE,), Role.TOR_GATEWAY: (torrc.SERVICE,)}.get(
        qube.role, ()
    )


def rule_texts(chain: Chain, backend: Backend) -> dict[QubeName, str]:
    """Each qube's role file, filled."""
    facts = Facts(tor_uid=backend.uids().tor, vpn_mark=wireguard.FWMARK)
    return {qube.name: rules_for(chain, qube, facts) for qube in chain.qubes}


def desired(chain: Chain, backend: Backend) -> Desired:
    """What every qube should have; every rule file is checked, all errors come at once."""
    wanted: dict[QubeName, DesiredQube] = {}
    problems: list[Problem] = []
    for name, text in rule_texts(chain, backend).items():
        try:
            listing = backend.check_rules(text)
        except NetchainError as error:
            problems += [Problem("E070", str(p), f"rules of {name}") for p in error.problems]
            continue
        wanted[name] = DesiredQube(digest(listing), services_of(chain[name]))
    if problems:
        raise NetchainError(problems)
    return wanted


def plan(chain: Chain, site: Site) -> Plan:
    """The steps from what is there to the chain; changes nothing."""
    return plan_up(chain, desired(chain, site.backend), site.backend.observe(chain))


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
        except NetchainError as error:
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
            return {name: QubeState.STARTING if services_of(chain[name]) else QubeState.READY}
        case Start():
            _start(chain, site, chain[name])
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


def _start(chain: Chain, site: Site, qube: Qube) -> None:
    if qube.role is Role.VPN_PROXY:
        config = site.vpns[qube.name]
        if site.backend.add_tunnel(chain, qube.name, config.tunnel()):
            _kernel_wireguard(chain, site, qube, config)
            return
        service = wireguard.userspace_service(config.setconf())
        site.backend.start_service(chain, qube.name, service)
    else:
        site.backend.start_service(chain, qube.name, torrc.service(_tor_files(chain, site, qube)))


def _kernel_wireguard(chain: Chain, site: Site, qube: Qube, config: WireGuard) -> None:
    command = wireguard.configure(config.setconf())
    done = site.backend.execute(chain, qube.name, command.argv, stdin=command.stdin)
    if done.status:
        words = done.stderr.decode(errors="replace").strip()
        raise NetchainError(Problem("E072", f"wg: {words}", str(qube.name)))


def _tor_files(chain: Chain, site: Site, qube: Qube) -> PurePosixPath:
    """Write the torrc into the qube's private volume; the directory as the qube sees it."""
    inside = site.backend.volume() / "tor"
    text = torrc.torrc(address4(chain, qube.name), inside, site.tor_lines)
    script = f"mkdir -p -m 0700 {inside} && cat > {inside}/torrc"
    done = site.backend.execute(chain, qube.name, ["sh", "-c", script], stdin=text.encode())
    if done.status:
        words = done.stderr.decode(errors="replace").strip()
        raise NetchainError(Problem("E072", f"cannot write torrc: {words}", str(qube.name)))
    return inside

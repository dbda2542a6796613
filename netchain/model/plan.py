"""Plans: typed steps from what is there to what is wanted; `up`, `down` and "again" are one.

`plan` compares and never acts. Every plan keeps the same order, which the tests check on random
chains and random observed states:

1. what differs is blocked, and everything below it, before anything else is touched; then its
   programs are stopped, so that no flow outlives what was wrong and none starts by itself;
2. what is not wanted, has another role, or can only be made anew is blocked and removed, leaves
   first; what is missing is created, closed from its first moment (`Create` loads blocked.nft);
3. links that are wrong are taken away, all before any is made: no address may be at two qubes;
   rules are loaded before links are made;
4. from the uplink down: a gateway is unblocked, its services start, it must become ready; so must
   every other one: nobody remembers whether it was ever proved (`up` may have been killed);
5. all links are proved; only then are workstations unblocked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from netchain.model.chain import Chain, Qube, Role
from netchain.model.names import QubeName
from netchain.model.observed import UPLINK_PEER, Observed, ObservedQube


@dataclass(frozen=True)
class DesiredQube:
    """What a qube should have: the digests of its rules and of its wiring, and the services that
    must run, each with the digest of what it is started with."""

    rules: str
    wiring: str = ""
    services: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One change to one qube. `sign` is + (new), ~ (changed) or - (gone)."""

    qube: QubeName
    sign = "~"

    def __str__(self) -> str:
        return f"{self.sign} {type(self).__name__.lower():9} {self.qube}{self.detail}"

    @property
    def detail(self) -> str:
        return ""


@dataclass(frozen=True)
class Create(Step):
    """Make the qube, closed: blocked.nft is loaded before it has any link."""

    sign = "+"

    @property
    def detail(self) -> str:
        return "  closed (blocked.nft)"


@dataclass(frozen=True)
class Block(Step):
    """Load blocked.nft over whatever rules the qube has: nothing passes."""


@dataclass(frozen=True)
class Load(Step):
    """Load the role's rules, under blocked.nft."""

    role: Role

    @property
    def detail(self) -> str:
        return f"  {self.role}.nft"


@dataclass(frozen=True)
class Attach(Step):
    """Wire the qube to its netvm (or the `net` qube to the uplink)."""

    netvm: QubeName
    sign = "+"

    @property
    def detail(self) -> str:
        return f"  → {self.netvm}"


@dataclass(frozen=True)
class Detach(Step):
    """Take the qube's uplink away."""

    netvm: QubeName
    sign = "-"

    @property
    def detail(self) -> str:
        return f"  from {self.netvm}"


@dataclass(frozen=True)
class Unblock(Step):
    """Take blocked.nft away: from here on the role's own rules decide."""


@dataclass(frozen=True)
class Start(Step):
    """Start a supervised program in the qube."""

    service: str
    sign = "+"

    @property
    def detail(self) -> str:
        return f"  {self.service}"


@dataclass(frozen=True)
class Stop(Step):
    """End a supervised program, with the tunnel that it had."""

    service: str
    sign = "-"

    @property
    def detail(self) -> str:
        return f"  {self.service}"


@dataclass(frozen=True)
class Await(Step):
    """Wait until the qube's services are ready (handshake seen, Tor at 100 %)."""

    sign = "?"


@dataclass(frozen=True)
class Prove(Step):
    """Read back and sweep with canaries the uplinks of these qubes: all that the chain has."""

    qubes: tuple[QubeName, ...]
    sign = "?"

    @property
    def detail(self) -> str:
        return f"  {len(self.qubes)} links: read back, canary sweep"


@dataclass(frozen=True)
class Remove(Step):
    """Remove the qube with its links, processes and rules."""

    sign = "-"


Plan = tuple[Step, ...]
Desired = Mapping[QubeName, DesiredQube]


def takes_away(plan: Plan) -> bool:
    """Whether something that runs is closed, stopped, unplugged or removed."""
    return any(isinstance(step, Block | Detach | Stop | Remove) for step in plan)


def render(plan: Plan) -> str:
    """The dry run: one line a step."""
    return "".join(f"{step}\n" for step in plan) or "no changes\n"


def plan_up(chain: Chain, desired: Desired, observed: Observed) -> Plan:
    """The steps that turn what is observed into the chain; empty when it is there already. Of what
    is beside it (disposables), one ends when something above it is touched."""
    order, every, roles = chain.from_uplink(), observed, {q.name: q.role for q in chain.qubes}
    observed, living = every.apart(roles)
    found = observed.qubes.items()
    gone = [name for name, have in found if have.altered or have.role != roles.get(name)]
    observed = _after_removals(observed, gone)
    differing = {
        q.name for q in order if _differs(chain, q, desired[q.name], observed.qubes.get(q.name))
    }
    touched = {q.name for q in order if q.name in differing or _is_below(chain, q, differing)}
    stays = {*roles, None} - touched
    gone += [name for name, have in living.qubes.items() if have.link not in stays]
    is_open = {name for name, have in observed.qubes.items() if not have.blocked}
    blocks: list[Step] = [Block(q.name) for q in order if q.name in touched & is_open]
    steps = [*blocks, *_stops(touched, observed), *_removals(gone, every)]
    steps += _detaches(order, desired, observed)
    steps += [Create(qube.name) for qube in order if qube.name not in observed.qubes]
    for qube in order:
        if qube.name in touched:
            steps += _rules_and_link(qube, desired[qube.name], observed.qubes.get(qube.name))
    return (*steps, *openings(chain, desired, touched))


def plan_down(observed: Observed) -> Plan:
    """The steps that remove every qube: all closed first, then gone, leaves first."""
    return tuple(_removals(list(observed.qubes), observed))


def peer(qube: Qube) -> QubeName | None:
    """What the qube's uplink interface is wired to; None for a qube without a network."""
    return UPLINK_PEER if qube.role is Role.NET else qube.netvm


def _after_removals(observed: Observed, gone: list[QubeName]) -> Observed:
    """What stays; a link whose other end is gone, or was never seen, is no link."""
    going = set(gone)
    stay = {name: have for name, have in observed.qubes.items() if name not in going}
    ends = {*stay, UPLINK_PEER, None}
    return Observed(
        {n: have if have.link in ends else replace(have, link=None) for n, have in stay.items()}
    )


def _is_below(chain: Chain, qube: Qube, names: set[QubeName]) -> bool:
    return any(above.name in names for above in chain.upstream(qube.name))


def _differs(chain: Chain, qube: Qube, want: DesiredQube, have: ObservedQube | None) -> bool:
    return (
        have is None
        or have.blocked is chain.is_connected(qube.name)
        or have.rules != want.rules
        or _is_miswired(qube, want, have)
        or have.services != want.services
    )


def _is_miswired(qube: Qube, want: DesiredQube, have: ObservedQube) -> bool:
    return (have.link, have.wiring) != (peer(qube), want.wiring)


def _stops(touched: set[QubeName], observed: Observed) -> list[Step]:
    there = [(name, have) for name, have in observed.qubes.items() if name in touched]
    return [Stop(name, service) for name, have in there for service in have.services]


def _removals(gone: list[QubeName], observed: Observed) -> list[Step]:
    gone.sort(key=lambda name: -_depth(name, observed))
    blocks: list[Step] = [Block(name) for name in gone if not observed.qubes[name].blocked]
    return blocks + [Remove(name) for name in gone]


def _depth(name: QubeName, observed: Observed) -> int:
    depth = 0
    have = observed.qubes.get(name)
    while have is not None and have.link is not None and depth <= len(observed.qubes):
        have = observed.qubes.get(have.link)
        depth += 1
    return depth


def _detaches(order: tuple[Qube, ...], desired: Desired, observed: Observed) -> list[Step]:
    there = [(qube, observed.qubes[qube.name]) for qube in order if qube.name in observed.qubes]
    return [
        Detach(qube.name, have.link)
        for qube, have in there
        if have.link is not None and _is_miswired(qube, desired[qube.name], have)
    ]


def _rules_and_link(qube: Qube, want: DesiredQube, have: ObservedQube | None) -> list[Step]:
    steps: list[Step] = []
    netvm = peer(qube)
    if have is None or have.rules != want.rules:
        steps.append(Load(qube.name, qube.role))
    if netvm is not None and (have is None or _is_miswired(qube, want, have)):
        steps.append(Attach(qube.name, netvm))
    return steps


def openings(chain: Chain, desired: Desired, touched: set[QubeName]) -> list[Step]:
    """The steps that open these qubes, workstations behind the proof. What reaches no uplink stays
    closed: there is nothing for it to wait for, and nothing that it may send."""
    steps: list[Step] = []
    workstations: list[Step] = []
    if not touched:
        return []
    order = chain.from_uplink()
    for qube in order:
        if not chain.is_connected(qube.name):
            continue
        services = desired[qube.name].services
        if qube.name in touched:
            opened = workstations if qube.role is Role.WORKSTATION else steps
            opened.append(Unblock(qube.name))
            opened += [Start(qube.name, service) for service in services]
        if services:
            steps.append(Await(qube.name))
    return [*steps, proof(chain), *workstations]


def proof(chain: Chain) -> Prove:
    """The step that proves the whole chain."""
    every = tuple(qube.name for qube in chain.from_uplink())
    return Prove(every[-1], every)

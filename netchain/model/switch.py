"""The plan of a switch: one qube of a running chain gets another netvm, or none (pure).

Order: who may meet the new path learns of it while the old one works on (`AllowBoth`); the new link
is made beside the old one, closed at both ends, and proved; then at once the old netvm denies, the
qube turns over and the new netvm allows (`CutOver`); then everybody forgets the old path, and the
old link goes. A qube that gets no netvm is closed first, with all behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.plan import (
    Attach,
    Await,
    Block,
    Desired,
    Detach,
    Load,
    Plan,
    Step,
    Stop,
    openings,
    proof,
)


@dataclass(frozen=True)
class AllowBoth(Step):
    """Load rules that allow what the chain allows before the switch and after it."""

    @property
    def detail(self) -> str:
        return "  rules for both paths"


@dataclass(frozen=True)
class Prepare(Step):
    """Make the link to the new netvm beside the old one, closed at both ends."""

    netvm: QubeName
    sign = "+"

    @property
    def detail(self) -> str:
        return f"  → {self.netvm}  closed"


@dataclass(frozen=True)
class CutOver(Step):
    """At once: the old netvm denies, the qube's route is another, the new netvm allows."""

    before: QubeName
    netvm: QubeName

    @property
    def detail(self) -> str:
        return f"  {self.before} → {self.netvm}"


@dataclass(frozen=True)
class Reroute(Step):
    """Above the qube the routes to it, and to all behind it, are what the chain now says."""


@dataclass(frozen=True)
class Forget(Step):
    """Every qube on the old path and on the new one forgets the flows of what was moved."""


@dataclass(frozen=True)
class Retire(Step):
    """Take the old link away."""

    netvm: QubeName
    sign = "-"

    @property
    def detail(self) -> str:
        return f"  from {self.netvm}"


@dataclass(frozen=True)
class Switch:
    """One qube's way from the chain `old` to the chain `new`, which differ in its netvm alone."""

    old: Chain
    new: Chain
    name: QubeName

    @property
    def before(self) -> QubeName | None:
        return self.old[self.name].netvm

    @property
    def after(self) -> QubeName | None:
        return self.new[self.name].netvm

    def passed(self) -> tuple[QubeName, ...]:
        """The qubes on the old path and the new one, in which flows of what is moved may live."""
        above = (*self.old.upstream(self.name), *self.new.upstream(self.name))
        return tuple(dict.fromkeys([self.name, *(qube.name for qube in above)]))


def plan_switch(switch: Switch, before: Desired, after: Desired) -> Plan:
    """The steps of a switch in a chain that is up, exactly as `old` says.

    `before` and `after` are what every qube should have in the two chains.
    """
    changed = [
        qube.name
        for qube in switch.new.from_uplink()
        if before[qube.name].rules != after[qube.name].rules
    ]
    loads = [Load(name, switch.new[name].role) for name in changed]
    was, is_ = (chain.is_connected(switch.name) for chain in (switch.old, switch.new))
    if was and is_:
        return _live(switch, after, changed, loads)
    if not was and is_:
        return _opened(switch, after, loads)
    return _closed(switch, before, loads)


def _live(switch: Switch, after: Desired, changed: list[QubeName], loads: list[Load]) -> Plan:
    assert switch.before is not None and switch.after is not None
    name = switch.name
    return (
        *(AllowBoth(each) for each in changed),
        Prepare(name, switch.after),
        proof(switch.new),
        CutOver(name, switch.before, switch.after),
        Forget(name),
        *loads,
        Retire(name, switch.before),
        proof(switch.new),
        *(Await(qube.name) for qube in switch.new.subtree(name) if after[qube.name].services),
    )


def _opened(switch: Switch, after: Desired, loads: list[Load]) -> Plan:
    """A closed part of the chain gets a way to the uplink: it is opened as `up` does it."""
    steps: list[Step] = [*loads]
    if switch.before is not None:
        steps.append(Detach(switch.name, switch.before))
    assert switch.after is not None
    steps += [Attach(switch.name, switch.after), Reroute(switch.name)]
    behind = {qube.name for qube in switch.new.subtree(switch.name)}
    return (*steps, *openings(switch.new, after, behind))


def _closed(switch: Switch, before: Desired, loads: list[Load]) -> Plan:
    """What loses its way to the uplink is closed first, leaves first, and its programs end."""
    behind = [qube.name for qube in reversed(switch.old.subtree(switch.name))]
    steps: list[Step] = [Block(name) for name in behind]
    steps += [Stop(name, service) for name in behind for service in before[name].services]
    if switch.before is not None:
        steps.append(Detach(switch.name, switch.before))
    steps += loads
    if switch.after is not None:
        steps.append(Attach(switch.name, switch.after))
    return (*steps, Reroute(switch.name), proof(switch.new))

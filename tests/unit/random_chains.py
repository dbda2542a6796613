"""Random chains, random observed states, and a simulator of what a plan does to them.

It knows what a step does to the observed state, and nothing of kernels.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from netchain.model import invariants
from netchain.model.chain import Chain, Qube, Role, Vpn
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import (
    Attach,
    Block,
    Create,
    Desired,
    DesiredQube,
    Detach,
    Load,
    Plan,
    Remove,
    Start,
    Step,
    Stop,
    Unblock,
    peer,
)  # fmt: skip

SERVICES = {Role.VPN_PROXY: {"wireguard": "new"}, Role.TOR_GATEWAY: {"tor": "new"}}
PARENTS = {
    Role.FIREWALL: (Role.NET, Role.FIREWALL),
    Role.VPN_PROXY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY, Role.TOR_GATEWAY),
    Role.TOR_GATEWAY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY),
    Role.WORKSTATION: (Role.VPN_PROXY, Role.TOR_GATEWAY),
}
"""All orders, the discouraged ones too."""


def behind_tor(qubes: list[Qube], qube: Qube) -> bool:
    """Whether the qube is a Tor gateway, or reaches the network through one."""
    above = Chain(ChainName("c"), tuple(qubes)).upstream(qube.name)
    return Role.TOR_GATEWAY in {qube.role, *(q.role for q in above)}


@st.composite
def random_chains(draw: st.DrawFn) -> Chain:
    qubes = [Qube(QubeName("q0"), Role.NET, Label.RED)]
    for number in range(1, draw(st.integers(2, 9))):
        role = draw(st.sampled_from(list(PARENTS)))
        parents = [q for q in qubes if q.role in PARENTS[role]]
        if role is Role.WORKSTATION:  # a chain with Tor: only ever behind a Tor gateway
            parents = [q for q in parents if behind_tor(qubes, q)]
        if not parents:
            continue
        vpn = Vpn("lab:provider-a") if role is Role.VPN_PROXY else None
        above = draw(st.sampled_from(parents)).name
        qubes.append(Qube(QubeName(f"q{number}"), role, Label.RED, above, vpn))
    order = draw(st.permutations(qubes))
    made = Chain(ChainName("c"), tuple(order), allow_discouraged=True)
    assert not invariants.problems(made)
    return made


def desired_of(made: Chain) -> Desired:
    return {
        q.name: DesiredQube(f"rules-{q.name}", f"wiring-{q.name}", SERVICES.get(q.role, {}))
        for q in made.qubes
    }


@st.composite
def random_states(draw: st.DrawFn, made: Chain) -> Observed:
    names = [*(q.name for q in made.qubes), QubeName("stranger")]
    links = st.none() | st.sampled_from(names)
    found = {}
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        rules = draw(st.sampled_from([f"rules-{name}", "old", ""]))
        versions = st.sampled_from(["new", "old"])
        running = draw(st.dictionaries(st.sampled_from(["tor", "wireguard"]), versions))
        exact = draw(st.booleans()) and name != "stranger"
        role = made[name].role if exact else draw(st.sampled_from(Role))
        link = peer(made[name]) if exact else draw(links)
        wiring = draw(st.sampled_from([f"wiring-{name}", "old"]))
        found[name] = ObservedQube(
            draw(st.booleans()), role, rules, link, wiring, running, altered=draw(st.booleans())
        )
    return Observed(found)


def cut(qubes: dict[QubeName, ObservedQube], netvm: QubeName) -> None:
    """The wires of a netvm go with it."""
    for name, have in qubes.items():
        if have.link == netvm:
            qubes[name] = replace(have, link=None)


def simulate(plan: Plan, made: Chain, observed: Observed) -> Observed:
    qubes = dict(observed.qubes)
    for link in {have.link for have in qubes.values()} - {None, "uplink", *qubes}:
        assert link is not None
        cut(qubes, link)  # a wire whose other end is dead
    wanted = desired_of(made)
    for step in plan:
        run(step, made, wanted, qubes)
    return Observed(qubes)


def run(step: Step, made: Chain, wanted: Desired, qubes: dict[QubeName, ObservedQube]) -> None:
    """What the step does to the qubes; an assertion where a backend would refuse it."""
    name = step.qube
    match step:
        case Create():
            assert name not in qubes
            qubes[name] = ObservedQube(blocked=True, role=made[name].role)
        case Block():
            qubes[name] = replace(qubes[name], blocked=True)
        case Load():
            assert qubes[name].blocked
            qubes[name] = replace(qubes[name], rules=wanted[name].rules)
        case Attach():
            assert qubes[name].blocked and qubes[name].link is None
            assert qubes[name].rules == wanted[name].rules
            assert step.netvm == "uplink" or step.netvm in qubes
            wiring = wanted[name].wiring
            qubes[name] = replace(qubes[name], link=step.netvm, wiring=wiring)
        case Detach():
            assert qubes[name].blocked
            qubes[name] = replace(qubes[name], link=None)
        case Unblock():
            assert qubes[name].link == peer(made[name])
            assert not qubes[name].services  # none that started before is let out
            qubes[name] = replace(qubes[name], blocked=False)
        case Start():
            assert qubes[name].link is not None
            assert step.service not in qubes[name].services
            started = {step.service: wanted[name].services[step.service]}
            services = {**qubes[name].services, **started}
            qubes[name] = replace(qubes[name], services=services)
        case Stop():
            assert qubes[name].blocked
            left = {s: v for s, v in qubes[name].services.items() if s != step.service}
            qubes[name] = replace(qubes[name], services=left)
        case Remove():
            assert qubes[name].blocked
            assert all(q.blocked for q in qubes.values() if q.link == name)
            del qubes[name]
            cut(qubes, name)


def running(made: Chain) -> dict[QubeName, ObservedQube]:
    wanted = desired_of(made)
    return {
        q.name: ObservedQube(
            False,
            q.role,
            wanted[q.name].rules,
            peer(q),
            wanted[q.name].wiring,
            wanted[q.name].services,
        )
        for q in made.qubes
    }

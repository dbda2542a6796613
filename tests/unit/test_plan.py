"""Plans over random chains and random observed states keep their order and converge.

The simulator knows what a step does to the observed state and nothing of kernels; that the real
backend does the same is for the lab tests.
"""

from __future__ import annotations

from dataclasses import replace

from chains import ROOT, chain
from hypothesis import given
from hypothesis import strategies as st

from netchain.model import chain as model
from netchain.model.chain import Chain, Label, Qube, Role, Vpn
from netchain.model.names import ChainName, QubeName
from netchain.model.observed import Observed, ObservedQube
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
    Unblock,
    peer,
    plan_down,
    plan_up,
    render,
)  # fmt: skip

SERVICES = {Role.VPN_PROXY: ("wireguard",), Role.TOR_GATEWAY: ("tor",)}
PARENTS = {
    Role.FIREWALL: (Role.NET, Role.FIREWALL),
    Role.VPN_PROXY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY),
    Role.TOR_GATEWAY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY),
    Role.WORKSTATION: (Role.TOR_GATEWAY,),
}


@st.composite
def random_chains(draw: st.DrawFn) -> Chain:
    qubes = [Qube(QubeName("q0"), Role.NET, Label.RED)]
    for number in range(1, draw(st.integers(2, 9))):
        role = draw(st.sampled_from(list(PARENTS)))
        parents = [q for q in qubes if q.role in PARENTS[role]]
        if not parents:
            continue
        vpn = Vpn("lab:provider-a") if role is Role.VPN_PROXY else None
        above = draw(st.sampled_from(parents)).name
        qubes.append(Qube(QubeName(f"q{number}"), role, Label.RED, above, vpn))
    order = draw(st.permutations(qubes))
    made = Chain(ChainName("c"), tuple(order))
    assert not model.problems(made)
    return made


def desired_of(made: Chain) -> Desired:
    return {q.name: DesiredQube(f"rules-{q.name}", SERVICES.get(q.role, ())) for q in made.qubes}


@st.composite
def random_states(draw: st.DrawFn, made: Chain) -> Observed:
    names = [*(q.name for q in made.qubes), QubeName("stranger")]
    links = st.none() | st.sampled_from(names)
    found = {}
    for name in draw(st.lists(st.sampled_from(names), unique=True)):
        rules = draw(st.sampled_from([f"rules-{name}", "old", ""]))
        running = draw(st.frozensets(st.sampled_from(["tor", "wireguard"])))
        exact = draw(st.booleans()) and name != "stranger"
        link = peer(made[name]) if exact else draw(links)
        found[name] = ObservedQube(draw(st.booleans()), rules, link, running)
    return Observed(found)


def simulate(plan: Plan, made: Chain, observed: Observed) -> Observed:
    qubes = dict(observed.qubes)
    wanted = desired_of(made)
    for step in plan:
        name = step.qube
        match step:
            case Create():
                assert name not in qubes
                qubes[name] = ObservedQube(blocked=True)
            case Block():
                qubes[name] = replace(qubes[name], blocked=True)
            case Load():
                assert qubes[name].blocked
                qubes[name] = replace(qubes[name], rules=wanted[name].rules)
            case Attach():
                assert qubes[name].blocked and qubes[name].link is None
                assert qubes[name].rules == wanted[name].rules
                assert step.netvm == "uplink" or step.netvm in qubes
                qubes[name] = replace(qubes[name], link=step.netvm)
            case Detach():
                assert qubes[name].blocked
                qubes[name] = replace(qubes[name], link=None)
            case Unblock():
                assert qubes[name].link == peer(made[name])
                qubes[name] = replace(qubes[name], blocked=False)
            case Start():
                assert qubes[name].link is not None
                services = qubes[name].services | {step.service}
                qubes[name] = replace(qubes[name], services=services)
            case Remove():
                assert qubes[name].blocked
                del qubes[name]
    return Observed(qubes)


@given(st.data())
def test_every_plan_converges_in_order(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_up(made, desired_of(made), observed)
    proofs = [i for i, step in enumerate(plan) if isinstance(step, Prove)]
    touched = any(not isinstance(step, Block | Remove) for step in plan)
    assert len(proofs) == int(touched)
    for index, step in enumerate(plan):
        if isinstance(step, Unblock) and made[step.qube].role is Role.WORKSTATION:
            assert index > proofs[0]
        elif isinstance(step, Unblock | Start | Await):
            assert index < proofs[0]
    after = simulate(plan, made, observed)
    assert plan_up(made, desired_of(made), after) == ()


@given(st.data())
def test_down_closes_everything_before_it_removes_anything(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_down(observed)
    assert simulate(plan, made, observed).qubes == {}
    kinds = [type(step) for step in plan]
    assert kinds == sorted(kinds, key=lambda kind: kind is Remove)


def test_the_plan_of_the_shipped_chain() -> None:
    made = chain("vpn-before-tor")
    text = render(plan_up(made, desired_of(made), Observed()))
    assert text == (ROOT / "tests" / "golden" / "plan" / "vpn-before-tor.txt").read_text()

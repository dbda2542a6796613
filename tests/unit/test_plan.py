"""Plans over random chains and random observed states keep their order and converge.

The simulator knows what a step does to the observed state and nothing of kernels; that the real
backend does the same is for tests/backends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from chains import chain
from hypothesis import given
from hypothesis import strategies as st
from random_chains import (
    SERVICES,
    desired_of,
    random_chains,
    random_states,
    running,
    simulate,
)

from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.observed import Observed, ObservedQube
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
    peer,
    plan_down,
    plan_up,
    render,
)  # fmt: skip


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
    assert set(after.qubes) == {q.name for q in made.qubes}
    for name, want in desired_of(made).items():
        have = after.qubes[name]
        assert (have.role, have.blocked, have.rules) == (made[name].role, False, want.rules)
        assert (have.link, have.wiring) == (peer(made[name]), want.wiring)
        assert have.services == want.services
    assert plan_up(made, desired_of(made), after) == ()


@given(st.data())
def test_no_link_is_made_before_every_wrong_one_is_gone(data: st.DataObject) -> None:
    """An address that moves must not be at two qubes at once."""
    made = data.draw(random_chains())
    plan = plan_up(made, desired_of(made), data.draw(random_states(made)))
    kinds = [type(step) for step in plan if isinstance(step, Detach | Attach)]
    assert kinds == sorted(kinds, key=lambda kind: kind is Attach)


def first(plan: Plan, kind: type[Step], name: QubeName) -> int | None:
    """The place of the first step of that kind and qube."""
    found = (i for i, step in enumerate(plan) if isinstance(step, kind) and step.qube == name)
    return next(found, None)


ORDER = (Block, Stop, Remove, Detach, Create, Load, Attach, Unblock, Start, Await)


@given(st.data())
def test_the_steps_of_each_qube_are_in_order(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    plan = plan_up(made, desired_of(made), data.draw(random_states(made)))
    for qube in made.qubes:
        kinds = [type(s) for s in plan if s.qube == qube.name and not isinstance(s, Prove)]
        assert kinds == sorted(kinds, key=ORDER.index)


@given(st.data())
def test_whatever_changes_is_closed_before(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_up(made, desired_of(made), observed)
    for index, step in enumerate(plan):
        if not isinstance(step, Stop | Load | Detach | Attach | Start | Remove):
            continue
        have = observed.qubes.get(step.qube)
        if have is None or not have.blocked:
            closed = first(plan, Create if have is None else Block, step.qube)
            assert closed is not None and closed < index


@given(st.data())
def test_a_workstation_is_opened_only_when_its_whole_way_was_awaited_and_swept(
    data: st.DataObject,
) -> None:
    """Also after an `up` that was killed anywhere: that it was ready once, nobody knows."""
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_up(made, desired_of(made), observed)
    left = simulate(plan[: data.draw(st.integers(0, len(plan)))], made, observed)
    for again in (plan, plan_up(made, desired_of(made), left)):
        for index, step in enumerate(again):
            if isinstance(step, Unblock) and made[step.qube].role is Role.WORKSTATION:
                before = again[:index]
                way = {step.qube, *(above.name for above in made.upstream(step.qube))}
                awaited = {s.qube for s in before if isinstance(s, Await)}
                assert awaited >= {name for name in way if made[name].role in SERVICES}
                assert any(isinstance(s, Prove) and set(s.qubes) >= way for s in before)


@given(st.data())
def test_a_netvm_is_opened_before_its_clients_and_proved_with_them(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    plan = plan_up(made, desired_of(made), data.draw(random_states(made)))
    touched = {s.qube for s in plan if isinstance(s, Unblock)}
    for step in plan:
        if isinstance(step, Prove):
            assert set(step.qubes) == {q.name for q in made.qubes}
    for name in touched:
        netvm = made[name].netvm
        if netvm in touched:
            above, below = first(plan, Unblock, netvm), first(plan, Unblock, name)
            assert above is not None and below is not None and above < below


@given(st.data())
def test_what_is_there_already_is_left_alone(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    wanted = desired_of(made)
    ready = running(made)
    assert plan_up(made, wanted, Observed(ready)) == ()
    drifted = data.draw(st.sampled_from([q.name for q in made.qubes]))
    changed = {**ready, drifted: replace(ready[drifted], rules="somebody else's")}
    plan = plan_up(made, wanted, Observed(changed))
    below = {
        q.name for q in made.qubes if drifted in {above.name for above in made.upstream(q.name)}
    }
    asked = (Prove, Await)
    assert {step.qube for step in plan if not isinstance(step, asked)} == {drifted} | below
    closed = [step for step in plan if step.qube in below and not isinstance(step, asked)]
    assert {type(step) for step in closed} <= {Block, Stop, Unblock, Start}


@given(st.data())
def test_any_interruption_converges(data: st.DataObject) -> None:
    """Killed after any step, the next plan starts from there and reaches the same."""
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_up(made, desired_of(made), observed)
    done = plan[: data.draw(st.integers(0, len(plan)))]
    between = simulate(done, made, observed)
    again = simulate(plan_up(made, desired_of(made), between), made, between)
    assert plan_up(made, desired_of(made), again) == ()


@given(st.data())
def test_down_closes_everything_before_it_removes_anything(data: st.DataObject) -> None:
    made = data.draw(random_chains())
    observed = data.draw(random_states(made))
    plan = plan_down(observed)
    assert simulate(plan, made, observed).qubes == {}
    kinds = [type(step) for step in plan]
    assert kinds == sorted(kinds, key=lambda kind: kind is Remove)
    assert len(kinds) == len(set(plan))


@given(random_chains())
def test_down_goes_from_the_leaves_to_the_uplink(made: Chain) -> None:
    """Where links are as the chain has them; of others no order can be asked."""
    there = {q.name: ObservedQube(False, q.role, link=peer(q)) for q in made.qubes}
    gone = [s.qube for s in plan_down(Observed(there)) if isinstance(s, Remove)]
    for qube in made.qubes:
        if qube.netvm is not None:
            assert gone.index(qube.name) < gone.index(qube.netvm)


@pytest.mark.parametrize(
    "name", ["vpn-before-tor", "two-vpns-before-tor", "two-providers", "many-workstations"]
)
def test_the_plan_of_the_shipped_chain(golden: Callable[[str, str], None], name: str) -> None:
    made = chain(name)
    golden(f"plan/{name}.txt", render(plan_up(made, desired_of(made), Observed())))


def test_a_plan_of_nothing_says_so() -> None:
    assert render(plan_down(Observed())) == "no changes\n"


def with_firewall_named(made: Chain, name: QubeName) -> Chain:
    old = made.with_role(Role.FIREWALL)[0].name
    qubes = tuple(
        replace(q, name=name if q.name == old else q.name,
                netvm=name if q.netvm == old else q.netvm)
        for q in made.qubes
    )  # fmt: skip
    return replace(made, qubes=qubes)


def test_a_qube_that_loses_its_netvm_is_blocked_first() -> None:
    made = chain("vpn-before-tor")
    renamed = with_firewall_named(made, QubeName("sys-fw"))
    plan = plan_up(renamed, desired_of(renamed), Observed(running(made)))
    removed = first(plan, Remove, QubeName("sys-firewall"))
    closed = first(plan, Block, QubeName("sys-proxyvm"))
    assert removed is not None and closed is not None and closed < removed


def test_clients_of_a_netvm_that_is_made_anew_are_wired_anew() -> None:
    """A kernel may show a client's wire for a long time after the netvm has gone."""
    made = chain("vpn-before-tor")
    there = {name: q for name, q in running(made).items() if name != "sys-firewall"}
    plan = plan_up(made, desired_of(made), Observed(there))
    assert first(plan, Attach, QubeName("sys-proxyvm")) is not None


def test_no_workstation_is_open_behind_a_gateway_that_is_not_proved_yet() -> None:
    made = chain("vpn-before-tor")
    there = running(made)
    vpn = QubeName("sys-proxyvm")
    there[vpn] = replace(there[vpn], rules="somebody else's")
    plan = plan_up(made, desired_of(made), Observed(there))
    closed = first(plan, Block, QubeName("anon-whonix"))
    assert closed is not None and closed < (first(plan, Unblock, vpn) or 0)


def test_a_qube_of_another_role_is_made_anew() -> None:
    """Its settings and programs are those of its old role."""
    made = chain("vpn-before-tor")
    there = running(made)
    firewall = QubeName("sys-firewall")
    there[firewall] = replace(there[firewall], role=Role.VPN_PROXY)
    plan = plan_up(made, desired_of(made), Observed(there))
    kinds = [type(step) for step in plan if step.qube == firewall]
    assert kinds[:3] == [Block, Remove, Create]


def test_a_program_with_another_configuration_is_started_anew() -> None:
    made = chain("vpn-before-tor")
    there = running(made)
    vpn = QubeName("sys-proxyvm")
    there[vpn] = replace(there[vpn], services={"wireguard": "old"})
    plan = plan_up(made, desired_of(made), Observed(there))
    kinds = [type(step) for step in plan if step.qube == vpn]
    assert kinds == [Block, Stop, Unblock, Start, Await]


def test_a_link_with_other_addresses_is_made_anew() -> None:
    made = chain("vpn-before-tor")
    there = running(made)
    work = QubeName("anon-whonix")
    there[work] = replace(there[work], wiring="old")
    plan = plan_up(made, desired_of(made), Observed(there))
    kinds = [type(step) for step in plan if step.qube == work]
    assert kinds == [Block, Detach, Attach, Prove, Unblock]

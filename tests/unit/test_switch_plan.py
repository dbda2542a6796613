"""Plans of switches over random chains: in order, and what they end in is the new chain.

The simulator knows what a step does to the observed state and nothing of kernels; that the real
backend does the same is for tests/lab/test_netvm.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from random_chains import SERVICES, random_chains
from random_chains import run as run_step

from netchain.model import invariants
from netchain.model.addressing import senders_behind
from netchain.model.chain import Chain, Qube, Role
from netchain.model.label import Label
from netchain.model.names import QubeName
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import (
    Await,
    Block,
    Desired,
    DesiredQube,
    Load,
    Plan,
    Prove,
    Start,
    Step,
    Stop,
    Unblock,
    peer,
    plan_up,
)
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

MORE = tuple(
    Qube(QubeName(name), Role.FIREWALL, Label.RED, QubeName("q0")) for name in ("m1", "m2")
)


def desired(chain: Chain) -> Desired:
    """Rules and wirings that differ wherever those of a real backend would."""
    found = {}
    for qube in chain.qubes:
        above = " ".join(each.name for each in chain.upstream(qube.name))
        behind = " ".join(each.name for each in senders_behind(chain, qube))
        near = " ".join(each.name for each in chain.clients(qube.name))
        connected = chain.is_connected(qube.name)
        found[qube.name] = DesiredQube(
            f"{qube.name}: {above} / {near} / {behind}",
            f"{peer(qube)}: {behind}" if peer(qube) else "",
            SERVICES.get(qube.role, {}) if connected else {},
        )
    return found


def running(chain: Chain) -> dict[QubeName, ObservedQube]:
    wanted = desired(chain)
    return {
        qube.name: ObservedQube(
            not chain.is_connected(qube.name), qube.role, wanted[qube.name].rules, peer(qube),
            wanted[qube.name].wiring, wanted[qube.name].services,
        )
        for qube in chain.qubes
    }  # fmt: skip


def is_live(switch: Switch) -> bool:
    return all(chain.is_connected(switch.name) for chain in (switch.old, switch.new))


def loses_its_way(switch: Switch) -> bool:
    return switch.old.is_connected(switch.name) and not switch.new.is_connected(switch.name)


@st.composite
def random_switches(draw: st.DrawFn, wanted: Callable[[Switch], bool] = lambda _: True) -> Switch:
    """Any that a chain allows, of that kind; in it another qube may be without a network."""
    chain = draw(random_chains())
    # Below the uplink there is always something that can go elsewhere.
    chain = replace(chain, qubes=(*chain.qubes, *MORE))
    others = [qube for qube in chain.qubes if qube.role is not Role.NET]
    if draw(st.booleans()):
        chain = chain.with_netvm(draw(st.sampled_from(others)).name, None)
    ways = [
        Switch(chain, chain.with_netvm(qube.name, netvm, clearnet=True), qube.name)
        for qube in others
        for netvm in (None, *(each.name for each in chain.qubes))
        if netvm != chain[qube.name].netvm
    ]
    ways = [way for way in ways if not invariants.problems(way.new) and wanted(way)]
    assume(ways)
    return draw(st.sampled_from(ways))


def simulate(plan: Plan, switch: Switch) -> dict[QubeName, ObservedQube]:
    qubes = running(switch.old)
    wanted = desired(switch.new)
    spare: list[QubeName] = []
    for step in plan:
        match step:
            case AllowBoth():
                assert not qubes[step.qube].blocked or not switch.new.is_connected(step.qube)
            case Load():
                qubes[step.qube] = replace(qubes[step.qube], rules=wanted[step.qube].rules)
            case Prepare():
                assert qubes[step.qube].link not in (None, step.netvm)
                spare.append(step.netvm)
            case CutOver():
                qubes[step.qube] = replace(qubes[step.qube], link=spare.pop())
                spare.append(step.before)
                _label(qubes, wanted)
            case Reroute():
                _label(qubes, wanted)
            case Retire():
                assert spare.pop() == step.netvm
            case Forget() | Await() | Prove():
                pass
            case _:
                run_step(step, switch.new, wanted, qubes)
    assert not spare
    return qubes


def _label(qubes: dict[QubeName, ObservedQube], wanted: Desired) -> None:
    """Every link has the routes, and the label, of the new chain."""
    for name, have in qubes.items():
        if have.link is not None:
            qubes[name] = replace(have, wiring=wanted[name].wiring)
        else:
            qubes[name] = replace(have, wiring="")


@given(random_switches())
def test_a_switch_ends_in_the_new_chain_and_in_nothing_more_to_do(switch: Switch) -> None:
    plan = plan_switch(switch, desired(switch.old), desired(switch.new))
    after = simulate(plan, switch)
    assert after == running(switch.new)
    assert plan_up(switch.new, desired(switch.new), Observed(after)) == ()


def index(plan: Plan, kind: type[Step]) -> int:
    return next(i for i, step in enumerate(plan) if isinstance(step, kind))


@given(random_switches(is_live))
def test_the_new_path_is_proved_closed_before_the_cut_and_open_after_it(switch: Switch) -> None:
    plan = plan_switch(switch, desired(switch.old), desired(switch.new))
    cut = index(plan, CutOver)
    proofs = [i for i, step in enumerate(plan) if isinstance(step, Prove)]
    assert len(proofs) == 2
    assert index(plan, Prepare) < proofs[0] < cut < index(plan, Forget) < index(plan, Retire)
    assert index(plan, Retire) < proofs[1]
    for i, step in enumerate(plan):
        assert not isinstance(step, Block | Unblock | Start | Stop)  # nobody else is disturbed
        if isinstance(step, AllowBoth):
            assert i < index(plan, Prepare)
        if isinstance(step, Load):
            assert cut < i < proofs[1]


@given(random_switches(loses_its_way))
def test_what_loses_its_way_is_closed_first_leaves_first(switch: Switch) -> None:
    plan = plan_switch(switch, desired(switch.old), desired(switch.new))
    behind = [qube.name for qube in switch.old.subtree(switch.name)]
    closed = [step.qube for step in plan if isinstance(step, Block)]
    assert sorted(closed) == sorted(behind)
    assert all(isinstance(step, Block) for step in plan[: len(behind)])
    for name in behind:
        netvm = switch.old[name].netvm
        if netvm in behind:
            assert closed.index(name) < closed.index(netvm)


@given(random_switches())
def test_only_what_is_behind_the_switch_is_opened(switch: Switch) -> None:
    plan = plan_switch(switch, desired(switch.old), desired(switch.new))
    behind = {qube.name for qube in switch.new.subtree(switch.name)}
    touched = {step.qube for step in plan if isinstance(step, Block | Unblock | Start | Stop)}
    assert touched <= behind
    proofs = [i for i, step in enumerate(plan) if isinstance(step, Prove)]
    for i, step in enumerate(plan):
        if isinstance(step, Unblock) and switch.new[step.qube].role is Role.WORKSTATION:
            assert i > proofs[0]


@pytest.mark.parametrize("profile", ["vpn-before-tor"])
def test_a_switch_and_its_way_back_undo_each_other(profile: str, shipped: object) -> None:
    assert callable(shipped)
    chain: Chain = shipped(profile)
    away = chain.with_netvm("anon-whonix", None)
    assert away.with_netvm("anon-whonix", QubeName("sys-whonix")) == chain
    assert [str(step).split()[1] for step in plan_switch(
        Switch(chain, away, QubeName("anon-whonix")), desired(chain), desired(away)
    )] == ["block", "detach", "load", "load", "reroute", "prove"]  # fmt: skip

"""Disposables as data: names, addresses, elements of sets, and what a plan makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chains import PROFILES, chain
from hypothesis import given, settings
from hypothesis import strategies as st
from nft_here import listing
from random_chains import desired_of, random_chains, running

from netchain.errors import NetchainError
from netchain.model import addressing
from netchain.model.chain import Chain, Qube, Role
from netchain.model.disposable import free, name_of, plan_disposable, with_disposable
from netchain.model.names import NUMBERS, number_of
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import Attach, Block, Create, Load, Prove, Remove, Unblock, plan_up
from netchain.nft.disposables import admission, comparable
from netchain.nft.fill import Facts, rules_for
from netchain.nft.sets import sets_for

FACTS = Facts(tor_uid=102)
numbers = st.integers(NUMBERS.start, NUMBERS.stop - 1)


def template(within: Chain) -> Qube:
    return within.with_role(Role.WORKSTATION)[0]


@given(numbers)
def test_a_name_tells_the_number(number: int) -> None:
    assert number_of(name_of(number)) == number


@pytest.mark.parametrize(
    "name", ["disp0", "disp10000", "disp01", "disp", "dispA", "xdisp1", "work"]
)
def test_other_names_tell_none(name: str) -> None:
    assert number_of(name) == 0


@given(st.sets(numbers, max_size=30))
def test_a_name_that_was_ever_taken_is_not_chosen(taken: set[int]) -> None:
    first = free({name_of(number) for number in taken}, lambda left: left[0])
    assert first not in taken and all(n in taken for n in range(1, first))


def test_when_all_were_used_it_says_so() -> None:
    with pytest.raises(NetchainError, match="were used"):
        free({name_of(number) for number in NUMBERS}, lambda left: left[0])


@given(numbers, numbers)
def test_no_two_qubes_have_an_address_or_an_interface_in_common(one: int, other: int) -> None:
    made = chain("many-workstations")
    for number in {one, other}:
        made = with_disposable(made, template(made), number)
    names = [qube.name for qube in made.qubes]
    for find in (addressing.address4, addressing.address6, addressing.downstream_interface):
        assert len({str(find(made, name)) for name in names}) == len(names)
    assert all(addressing.address4(made, name) in addressing.QUBES4 for name in names)
    assert min(addressing.qid(made, name_of(n)) for n in {one, other}) > FIRST_OF_NO_PROFILE


FIRST_OF_NO_PROFILE = 10 + 500


@pytest.mark.parametrize("profile", PROFILES)
@given(number=numbers)
def test_only_sets_of_the_netvm_change_and_only_by_more(profile: str, number: int) -> None:
    made = chain(profile)
    grown = with_disposable(made, template(made), number)
    added = 0
    for qube in made.qubes:
        before, after = sets_for(made, qube, FACTS), sets_for(grown, qube, FACTS)
        assert set(before) == set(after)
        more = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert all(before[name] < after[name] for name in more)
        assert not more or qube.name == template(made).netvm
        added += sum(map(len, more.values()))
    assert len(admission(grown, grown[name_of(number)])) == added > 0


@pytest.mark.lab
@pytest.mark.parametrize("profile", ["vpn-before-tor", "vpn-only", "many-workstations"])
@settings(max_examples=5, deadline=None)
@given(some=st.sets(numbers, min_size=1, max_size=3))
def test_which_disposables_live_makes_no_difference(profile: str, some: set[int]) -> None:
    """As nft lists it; and without them it is as if they had never been."""
    made = chain(profile)
    netvm = made[str(template(made).netvm)]
    add, delete = "", ""
    for number in some:
        grown = with_disposable(made, template(made), number)
        for line in admission(grown, grown[name_of(number)]):
            add, delete = f"{add}add {line}\n", f"{delete}delete {line}\n"
    rules = rules_for(made, netvm, FACTS)
    plain, with_them = listing(rules), listing(rules, add)
    assert with_them != plain == listing(rules, add, delete)
    assert comparable(with_them) == comparable(plain)


FOREIGN = [
    "allowed4 { \"vif16400.0\" . 10.137.64.17 }",
    "allowed4 { \"vif14.0\" . 10.137.64.16 }",
    "allowed4 { \"eth0\" . 10.137.64.16 }",
    "allowed4 { \"vif16384.0\" . 10.137.64.0 }",
    "allowed6 { \"vif16400.0\" . fd09:24ef:4179::a89:d }",
    "neighbours6 { \"vif16400.0\" . 2001:db8::1 }",
    "dns4 { 10.137.64.16 }",
]  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize("element", FOREIGN)
def test_an_element_that_is_no_disposables_is_a_difference(element: str) -> None:
    made = chain("vpn-before-tor")
    rules = rules_for(made, made["sys-whonix"], FACTS)
    odd = listing(rules, f"add element inet netchain {element}")
    assert comparable(odd) != comparable(listing(rules))


@pytest.mark.lab
def test_a_resolver_that_no_workstation_of_the_profile_asks_is_a_difference() -> None:
    made = chain("vpn-only")
    rules = rules_for(made, made["sys-proxyvm"], FACTS)
    odd = listing(rules, "add element inet netchain dns4 { 10.137.64.16 : 192.0.2.1 }")
    assert comparable(odd) != comparable(listing(rules))


def test_it_is_closed_until_all_is_proved() -> None:
    made = chain("vpn-before-tor")
    grown = with_disposable(made, template(made), 7)
    kinds = [type(step).__name__ for step in plan_disposable(grown, name_of(7))]
    assert kinds == ["Create", "Load", "Widen", "Attach", "Prove", "Unblock"]


def with_living(made: Chain, netvm: str, *, blocked: bool = False) -> Observed:
    """The chain as it should be, and a disposable below that qube."""
    disposable = ObservedQube(blocked, Role.WORKSTATION, "rules", made[netvm].name, "wired")
    return Observed({**running(made), name_of(7): disposable})


@given(random_chains(), st.booleans(), st.data())
def test_a_disposable_is_no_drift(made: Chain, blocked: bool, data: st.DataObject) -> None:
    netvm = data.draw(st.sampled_from([str(qube.name) for qube in made.qubes]))
    assert plan_up(made, desired_of(made), with_living(made, netvm, blocked=blocked)) == ()


@given(random_chains(), st.data())
def test_a_disposable_ends_before_anything_above_it_is_touched(
    made: Chain, data: st.DataObject
) -> None:
    """And only then: what is beside it leaves it alone."""
    netvm = data.draw(st.sampled_from([str(qube.name) for qube in made.qubes]))
    changed = data.draw(st.sampled_from(made.qubes))
    observed = with_living(made, netvm)
    have = replace(observed.qubes[changed.name], rules="old")
    steps = plan_up(made, desired_of(made), Observed({**observed.qubes, changed.name: have}))
    about = [step for step in steps if step.qube == name_of(7)]
    above = {netvm, *(str(qube.name) for qube in made.upstream(netvm))}
    if str(changed.name) not in above:
        assert about == []
        return
    assert about == [Block(name_of(7)), Remove(name_of(7))]
    kinds = (Load, Create, Attach, Unblock, Prove)
    first = next(n for n, step in enumerate(steps) if isinstance(step, kinds))
    assert max(steps.index(step) for step in about) < first


@given(random_chains())
def test_one_that_is_just_being_made_is_left_alone(made: Chain) -> None:
    fresh = ObservedQube(True, Role.WORKSTATION)
    observed = Observed({**running(made), name_of(7): fresh})
    assert plan_up(made, desired_of(made), observed) == ()

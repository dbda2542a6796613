"""The rule files of every shipped chain are proved, open and closed; without rules nothing is.

Not covered: that the kernel does what the semantics say (scripts/bench verify-fuzz), the reading of
a living qube (tests/lab/test_verify.py).
"""

from __future__ import annotations

import pytest
from chains import PROFILES, chain
from qube_snapshots import blocked_text, facts, listed, role_text, snapshot

from netchain.model.chain import QubeState
from netchain.verify.claim import Name
from netchain.verify.diagrams import diagrams
from netchain.verify.proof import Finding, Verdict, prove

pytestmark = pytest.mark.lab
QUBES = [(profile, qube.name) for profile in PROFILES for qube in chain(profile).qubes]


def proved(
    profile: str, name: str, *texts: str, state: QubeState = QubeState.READY
) -> list[Finding]:
    built = chain(profile)
    there = snapshot(built, built[name], listed(*texts))
    return prove(facts(built, built[name], state), there, diagrams())


@pytest.mark.parametrize(("profile", "name"), QUBES)
def test_every_shipped_qube_is_proved(profile: str, name: str) -> None:
    built = chain(profile)
    found = proved(profile, name, role_text(built, built[name]))
    assert [f for f in found if f.verdict is not Verdict.PROVED] == []
    assert {Name.ALIVE, Name.NO_INBOUND, Name.NO_OTHER_WAY} <= {finding.name for finding in found}


@pytest.mark.parametrize("name", [qube.name for qube in chain("vpn-before-tor").qubes])
def test_a_closed_qube_lets_nothing_pass(name: str) -> None:
    built = chain("vpn-before-tor")
    texts = role_text(built, built[name]), blocked_text()
    found = proved("vpn-before-tor", name, *texts, state=QubeState.BLOCKED)
    assert [f for f in found if f.verdict is not Verdict.PROVED] == []


@pytest.mark.parametrize("name", [qube.name for qube in chain("vpn-before-tor").qubes])
def test_an_open_qube_is_not_taken_for_closed(name: str) -> None:
    """Its rules let more pass than a closed one may."""
    built = chain("vpn-before-tor")
    found = proved("vpn-before-tor", name, role_text(built, built[name]), state=QubeState.BLOCKED)
    assert any(finding.verdict is Verdict.BROKEN for finding in found)


@pytest.mark.parametrize("name", [qube.name for qube in chain("vpn-before-tor").qubes])
def test_without_rules_nearly_nothing_holds(name: str) -> None:
    found = {f.name: f.verdict for f in proved("vpn-before-tor", name, "")}
    held = {name for name, verdict in found.items() if verdict is Verdict.PROVED}
    # No chain is there that could end without a drop, and nothing is dead.
    assert held <= {Name.ALIVE, Name.EXPLICIT_DROP, Name.SETTINGS}


def test_a_qube_that_drops_everything_is_not_alive() -> None:
    built = chain("vpn-before-tor")
    hooks = ("prerouting", "output")
    chains = (
        f"chain {h} {{ type filter hook {h} priority 0; policy drop; drop; }};" for h in hooks
    )
    text = f"table inet t {{ {' '.join(chains)} }}"
    for qube in built.qubes:
        found = {f.name: f.verdict for f in proved("vpn-before-tor", qube.name, text)}
        assert found.pop(Name.ALIVE) is Verdict.BROKEN
        assert set(found.values()) == {Verdict.PROVED}


@pytest.mark.parametrize("text", ["", "{", '{"nftables": []}', "null", "[]", "[" * 100_000])
def test_what_nft_did_not_print_is_no_proof(text: str) -> None:
    built = chain("vpn-before-tor")
    qube = built["sys-whonix"]
    found = prove(facts(built, qube), snapshot(built, qube, text), diagrams())
    assert {f.name for f in found} == set(Name)
    assert {f.verdict for f in found} == {Verdict.UNPROVED}
    assert all(f.why for f in found)

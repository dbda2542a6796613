"""The rule files: their form, that they load, what they become, and that they are checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chains import PROFILES
from nft_here import listing, nft

from netchain.errors import NetchainError
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.nft.check import ROLE, problems_of
from netchain.nft.fill import Facts, fill, rules_for
from netchain.nft.ruleset import parse
from netchain.resources import data_dir

FILES = sorted((data_dir() / "firewall_rules").glob("*.nft"))
ROLE_FILES = [path for path in FILES if path.stem != "blocked"]
GOLDEN_NFT = "v1.0.6"
"""Its listing differs in details from one version to the next."""

UPLINK_FILES = sorted((data_dir() / "firewall_rules" / "uplinks").glob("*.nft"))

by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def rules_in(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each chain of a rule file: its name, its `type` line or "", and its rules."""
    for name, body in re.findall(r"^\tchain (\w+) \{\n(.*?)^\t\}", text, re.MULTILINE | re.DOTALL):
        lines = [line.strip() for line in body.splitlines()]
        rules = [line for line in lines if line and not line.startswith("#")]
        base = rules.pop(0) if rules[0].startswith("type ") else ""
        yield name, base, rules


def test_there_is_a_file_for_every_role() -> None:
    assert {path.stem for path in ROLE_FILES} == set(Role)


@by_name
def test_a_file_is_plain_text_that_replaces_one_table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = set(re.sub(r'#.*|"[^"]*"', "", text).split())
    assert not words & {"define", "include", "flush", "iif", "oif", "redefine", "undefine"}
    assert "$" not in text
    table = "inet netchain_blocked" if path.stem == "blocked" else "inet netchain"
    commands = [line for line in text.splitlines() if line and line[0] not in "#\t}"]
    assert commands == [f"table {table}", f"delete table {table}", f"table {table} {{"]


@pytest.mark.parametrize("path", [*FILES, *UPLINK_FILES], ids=lambda path: path.stem)
def test_every_rule_counts_and_says_why(path: Path) -> None:
    for name, _, rules in rules_in(path.read_text(encoding="utf-8")):
        for rule in rules:
            assert re.search(r"\bcounter\b", rule), f"{name}: {rule}"
            assert re.search(r' comment "[^"]+"$', rule), f"{name}: {rule}"


@by_name
def test_every_filter_chain_has_a_policy_and_ends_in_a_drop(path: Path) -> None:
    hooks = set()
    for name, base, rules in rules_in(path.read_text(encoding="utf-8")):
        if base.startswith("type filter"):
            assert base.endswith("policy drop;"), name
            assert rules[-1].startswith("counter drop "), name
            hooks.add(base.split()[3])
    assert hooks >= {"prerouting", "input", "forward", "output"}


@by_name
def test_a_reject_is_for_ones_own_programs_only(path: Path) -> None:
    """To anybody else an error could carry on what it quotes, to whom a forged source names."""
    for name, _, rules in rules_in(path.read_text(encoding="utf-8")):
        if path.stem != "workstation" or name != "output":
            assert not any(" reject" in rule for rule in rules)


@pytest.mark.lab
@by_name
def test_a_file_loads_again_and_again_and_passes_the_check(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    once = listing(text)
    assert listing(text, text, text) == once
    others = [] if path.stem != "blocked" else [ROLE_FILES[0].read_text(encoding="utf-8")]
    assert problems_of(parse(nft(text, *others, "-j list ruleset"))) == []


@pytest.mark.lab
@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_loaded_is_the_golden_listing(
    shipped: Callable[[str], Chain], golden: Callable[[str, str], None], profile: str
) -> None:
    if GOLDEN_NFT not in nft("--version"):
        pytest.skip(f"the golden listings are nft {GOLDEN_NFT}'s")
    chain = shipped(profile)
    for qube in chain.qubes:
        text = rules_for(chain, qube, Facts(tor_uid=102))
        golden(f"rules/{profile}-{qube.name}.nft", listing(text))
        assert problems_of(parse(nft(text, "-j list ruleset"))) == []


def test_every_set_that_is_filled_is_in_the_file(shipped: Callable[[str], Chain]) -> None:
    for profile in PROFILES:
        chain = shipped(profile)
        for qube in chain.qubes:
            text = rules_for(chain, qube, Facts(tor_uid=102))
            declared = set(re.findall(r"^\t(?:set|map) (\w+) \{", text, re.MULTILINE))
            filled = set(re.findall(r"^add element inet netchain (\w+) ", text, re.MULTILINE))
            assert filled <= declared


def test_nothing_is_opened_for_what_is_not_known_yet(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-before-tor")
    vpn = chain["sys-proxyvm"].vpn
    assert vpn is not None
    qubes = tuple(replace(q, vpn=vpn and replace(vpn, settings=None)) if q.vpn else q
                  for q in chain.qubes)  # fmt: skip
    unresolved = replace(chain, qubes=qubes, wan=None)
    for qube in unresolved.qubes:
        text = rules_for(unresolved, qube, Facts(tor_uid=102))
        assert not re.search(r"^add element .*(endpoints|wan|tunnel)", text, re.MULTILINE)


def test_a_wrong_protocol_or_number_never_becomes_text(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-only")
    vpn = chain["sys-proxyvm"].vpn
    assert vpn is not None and vpn.settings is not None
    name = QubeName("sys-proxyvm")
    for change in ({"protocol": "udp }; flush ruleset"}, {"port": 0}, {"port": 70000}):
        endpoint = replace(vpn.settings.endpoint, **change)  # type: ignore[arg-type]
        bad = chain.resolved({name: replace(vpn.settings, endpoint=endpoint)}, chain.wan)
        with pytest.raises(ValueError, match=r"protocol|Port"):
            rules_for(bad, bad[name], Facts(tor_uid=102))
    with pytest.raises(ValueError, match="Mark"):
        rules_for(chain, chain[name], Facts(tor_uid=102, vpn_mark=0))


def test_elements_are_in_a_fixed_order() -> None:
    sets = {"a": frozenset(["3", "1", "2"]), "b": frozenset[str]()}
    assert fill("table\n\n", sets) == "table\nadd element inet netchain a { 1, 2, 3 }\n"


BROKEN = {
    "E081": "table inet other {}",
    "E082": "delete chain inet netchain forward",
    "E083": "add rule inet netchain forward counter accept",
    "E084": "insert rule inet netchain forward iif 1 counter drop",
}


@pytest.mark.lab
@pytest.mark.parametrize("code", BROKEN)
def test_what_is_broken_is_named(code: str) -> None:
    good = (data_dir() / "firewall_rules" / "firewall.nft").read_text(encoding="utf-8")
    found = problems_of(parse(nft(good, BROKEN[code], "-j list ruleset")))
    assert [problem.code for problem in found] == [code]


@pytest.mark.lab
@pytest.mark.parametrize(
    "change",
    ["add chain inet netchain forward { policy accept; }",
     "add chain inet netchain late { type filter hook input priority 9; policy drop; }",
     "add table inet netchain { flags dormant; }",
     "add chain inet netchain more { type route hook output priority 0; }",
     "delete table inet netchain",
     "add counter inet netchain many"],
)  # fmt: skip
def test_what_is_open_or_asleep_is_named(change: str) -> None:
    good = (data_dir() / "firewall_rules" / "firewall.nft").read_text(encoding="utf-8")
    assert problems_of(parse(nft(good, change, "-j list ruleset")))


def test_nothing_printed_is_no_ruleset() -> None:
    """nft can abort on rules that the kernel holds; then it prints nothing."""
    for text in ("", "{}", "[]", '{"nftables": []}', '{"nftables": [{"table": {}}]}', "table x"):
        with pytest.raises(NetchainError, match="cannot be understood"):
            parse(text)
    empty = {"nftables": [{"metainfo": {"version": "1.0.6"}}]}
    assert len(problems_of(parse(json.dumps(empty)))) == 4


@pytest.mark.lab
def test_a_read_back_set_has_what_was_put_in(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-only")
    text = rules_for(chain, chain["sys-proxyvm"], Facts(tor_uid=102))
    rules = parse(nft(text, "-j list ruleset"))
    expected = {
        "allowed4": {"vif13.0 . 10.137.0.13"},
        "endpoints4": {"198.18.7.1 . udp . 51820"},
        "endpoints6": set(),
        "dns4": {"10.137.0.13 : 10.64.0.1"},
        "vpn_mark": {"28259"},
    }
    for name, elements in expected.items():
        found = rules.set_named(ROLE, name)
        assert found is not None and set(found.elements) == elements
    assert rules.set_named(ROLE, "none") is None
    assert sum(rules.packets_by_comment(ROLE).values()) == 0

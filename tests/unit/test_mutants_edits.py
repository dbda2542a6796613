"""The mutants of the rule files, without any packet: which there are, and what they change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaktests.mutants import equivalent, further, run, scenes
from leaktests.mutants.locks import locks
from leaktests.mutants.operators import apply, diff, mutants, opened
from leaktests.mutants.rulefile import Rule, RuleFile, parse
from netchain.nft.sets import Facts, sets_for
from netchain.resources import data_dir

RULES = run.files(data_dir() / "firewall_rules")
ONE = """table inet t {
	chain c {
		type filter hook forward priority filter; policy drop;
		iifgroup 2 ip saddr != @a ct state established,related counter accept comment "why"
		tcp flags & (fin | syn | rst | ack) == syn counter redirect to :9040 comment "nat"
		counter iifgroup . oifgroup vmap { 2 . 1 : jump up, 1 . 2 : jump down } comment "ways"
		ip saddr 10.137.0.0/16 counter reject with icmp type admin-prohibited comment "told"
		counter drop comment "end"
	}
}
"""


def rules(text: str = ONE) -> tuple[Rule, ...]:
    return parse("one", text).chains[0].rules


@pytest.mark.parametrize("role", RULES)
def test_the_mutants_of_each_role_are_known(golden: Callable[[str, str], None], role: str) -> None:
    file = RULES[role]
    lines = []
    for mutant in mutants(file):
        lines += [mutant.id, *(f"  {line}" for line in diff(file.lines, mutant.edits))]
    golden(f"mutants/{role}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("role", RULES)
def test_every_rule_line_is_a_rule_and_is_deleted_once(role: str) -> None:
    file = RULES[role]
    counted = [n for n, line in enumerate(file.lines) if " counter " in f" {line.strip()} "]
    assert [rule.line for chain in file.chains for rule in chain.rules] == counted
    deleted = [m for m in mutants(file) if m.id.endswith(":deleted") and ".chain:" not in m.id]
    assert sorted(line for m in deleted for line in m.edits) == counted


@pytest.mark.parametrize("role", RULES)
def test_every_mutant_has_its_own_name_and_changes_something(role: str) -> None:
    file = RULES[role]
    every = mutants(file)
    assert len({mutant.id for mutant in every}) == len(every) > 30
    for mutant in every:
        changed = mutant.apply(file.lines)
        assert changed != file.lines
        assert len(changed) == len(file.lines)
        assert {n for n, line in enumerate(changed) if line != file.lines[n]} == set(mutant.edits)


@pytest.mark.parametrize("role", RULES)
def test_every_condition_of_a_rule_is_understood(role: str) -> None:
    """Nothing but statements is left of a rule when its conditions are taken away."""
    for chain in RULES[role].chains:
        for rule in chain.rules:
            rest = rule.text[rule.matches[-1].end if rule.matches else 0 :].split()
            assert rest[0] in ("counter",), rule.text


def test_a_rule_is_read_as_conditions_and_a_verdict() -> None:
    accept, nat, ways, told, end = rules()
    assert [m.name for m in accept.matches] == ["iifgroup", "ip-saddr", "ct-state"]
    assert [m.right for m in accept.matches] == ["2", "@a", "established,related"]
    assert accept.matches[1].op == "!="
    assert (accept.verdict, accept.comment, accept.place) == ("accept", "why", "c.1")
    assert [m.name for m in nat.matches] == ["tcp-flags"]
    assert nat.verdict == ""
    assert ways.entries == (("2 . 1", "jump up"), ("1 . 2", "jump down"))
    assert (told.verdict, end.verdict) == ("reject", "drop")
    assert opened(told).split(" counter ")[1] == 'accept comment "told"'
    assert opened(end).strip() == 'counter accept comment "end"'


def test_a_file_without_a_whole_chain_is_refused() -> None:
    for text in ("", "table inet t { }", "table inet t {\n\tchain c {\n\t\tcounter drop\n"):
        with pytest.raises(ValueError, match="chain"):
            parse("one", text)


def test_what_is_not_understood_can_still_be_deleted() -> None:
    file = parse(
        "one", "table inet t {\n\tchain c {\n\t\tmeta hour 3 quota over 9 bytes drop\n\t}\n}"
    )
    assert {m.id for m in mutants(file)} >= {"one:c.1:deleted", "one:c.1:accepts"}


@given(st.data())
def test_several_mutants_at_once_leave_all_other_lines_alone(data: st.DataObject) -> None:
    file: RuleFile = data.draw(st.sampled_from(list(RULES.values())))
    some = data.draw(st.lists(st.sampled_from(mutants(file)), max_size=5))
    changed = apply(file.lines, *(mutant.edits for mutant in some))
    touched = {line for mutant in some for line in mutant.edits}
    assert all(changed[n] == line for n, line in enumerate(file.lines) if n not in touched)


def test_only_mutants_that_exist_are_argued_and_at_most_a_fifth() -> None:
    names = {mutant.id for mutant in run.every(RULES)} | {lock.id for lock in locks()}
    argued = equivalent.argued()
    assert set(argued) - names == set()
    assert all(len(reason) > 40 for reason in argued.values())
    assert len(argued) <= len(names) / 5


def test_a_lock_that_nobody_can_notice_is_argued() -> None:
    assert {lock.id for lock in locks() if lock.act is None} <= set(equivalent.argued())


def test_a_reason_holds_only_where_the_edit_reads_the_same() -> None:
    name = next(
        name for name in equivalent.argued() if ":sysctl:" not in name and "route" not in name
    )
    role = name.partition(":")[0]
    assert name in equivalent.reasons(RULES)
    other = parse(role, RULES[role].text.replace(" counter ", " counter packets 0 bytes 0 "))
    assert name not in equivalent.reasons({**RULES, role: other})


def test_every_set_of_a_role_is_filled_in_one_of_its_scenes() -> None:
    """Or its rules would be tried with nothing."""
    filled: dict[str, set[str]] = {}
    for scene in scenes.scenes():
        if scene.role != scenes.BLOCKED:
            found = sets_for(scene.chain, scene.qube, Facts(tor_uid=0))
            filled.setdefault(scene.role, set()).update(name for name in found if found[name])
    for role, names in filled.items():
        words = [line.split() for line in RULES[role].lines]
        declared = {w[1] for w in words if w[:1] in (["set"], ["map"]) and len(w) > 2}
        assert declared - names - {"tor_ports"} == set()


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "further.toml"
    path.write_text(text)
    return path


def test_further_edits_are_read(tmp_path: Path) -> None:
    text = """
    [[mutant]]
    name = "up"
    role = "vpn-proxy"
    text = "2 . 3 : jump into_tunnel"
    replacement = "2 . 1 : accept"
    expect = "caught"
    [[mutant]]
    name = "gone"
    role = "blocked"
    line = 20
    replacement = ""
    """
    found = further.read(listed(tmp_path, text), RULES)
    up, expected = found["vpn-proxy:further:up"]
    assert expected == "caught"
    assert [line for line in diff(RULES["vpn-proxy"].lines, up.edits) if "2 . 1 : accept" in line]
    gone, nothing = found["blocked:further:gone"]
    assert (dict(gone.edits), nothing) == ({19: None}, "")


ENTRY = '[[mutant]]\nname = "a"\nreplacement = ""\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a list of"),
        ("x = 1\nmutant = []", "a list of"),
        ('[[mutant]]\nname = "a"', "'role'"),
        (ENTRY + 'role = "no"\nline = 1', "no role no"),
        (ENTRY + 'role = "net"\nline = 0', "line 0"),
        (ENTRY + 'role = "net"\ntext = "counter"', "one must"),
        (ENTRY + 'role = "net"\nline = 1\nx = 1', "unknown key x"),
        (ENTRY + 'role = "net"\nline = 1\nexpect = "no"', "one of"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_the_reason(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        further.read(listed(tmp_path, text), RULES)

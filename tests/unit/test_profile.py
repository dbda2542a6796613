"""Every trouble of a profile: its key path, the bad value, what is accepted, all at once.

Not covered: the files of VPN configurations that a profile names (netchain/vpn reads them).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from chains import PROFILES, ROOT
from hypothesis import given
from hypothesis import strategies as st

from netchain.console import render
from netchain.errors import Exit, NetchainError
from netchain.model import profile

GOOD = (ROOT / "profiles" / "vpn-before-tor.toml").read_text()


def problems(text: str) -> tuple[dict[str, tuple[str, str, str]], Exit]:
    with pytest.raises(NetchainError) as caught:
        profile.parse(text, "p.toml")
    found = {p.where.removeprefix("p.toml: "): p for p in caught.value.problems}
    return {k: (p.code, p.value, p.accepted) for k, p in found.items()}, caught.value.exit_code


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_profiles_are_good(name: str) -> None:
    text = (ROOT / "profiles" / f"{name}.toml").read_text()
    assert profile.parse(text, name).name == name


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ('label = "black"', 'lable = "black"', "qube[3].lable", "E012"),
        ('label = "black"', 'label = "pink"', "qube[3].label", "E011"),
        ('netvm = "sys-net"', 'netvm = "sys-whonix"', "qube[1].netvm", "E017"),
        ('netvm = "sys-net"', 'netvm = "sys-nett"', "qube[1].netvm", "E015"),
        ('netvm = "sys-net"', "", "qube[1].netvm", "E015"),
        ('netvm = "sys-net"', 'netvm = "anon-whonix"', "qube[1].netvm", "E016"),
        ('role  = "firewall"', 'role  = "net"', "qube[].role", "E014"),
        ('role  = "firewall"', 'role  = "fierwall"', "qube[1].role", "E011"),
        ('name  = "sys-firewall"', 'name  = "sys-net"', "qube[1].name", "E013"),
        ('name  = "sys-firewall"', 'name  = "a; reboot"', "qube[1].name", "E011"),
        ('name  = "sys-firewall"', 'name  = "x } accept {"', "qube[1].name", "E011"),
        ('netvm = "sys-whonix"', 'netvm = "sys-proxyvm"', "qube[4].netvm", "E018"),
        ('vpn   = { config = "lab:provider-a" }', "", "qube[2].vpn", "E020"),
        ('vpn   = { config = "lab:provider-a" }', "vpn = 7", "qube[2].vpn", "E020"),
        ('uplink  = "lab"', 'uplink  = "wifi"', "uplink", "E011"),
        ("schema  = 1", "schema  = 2", "schema", "E011"),
        ("schema  = 1", "", "schema", "E011"),
        ("schema  = 1", "schema = 1\nqubes = 3", "qubes", "E012"),
        ("schema  = 1", "schema = 1\nallow_discouraged = 1", "allow_discouraged", "E011"),
        ('name    = "vpn-before-tor"', "", "name", "E011"),
        ('name    = "vpn-before-tor"', 'name = "../../etc"', "name", "E011"),
        ('backend = "netns"', 'backend = "nets"', "backend", "E011"),
        ('uplink  = "lab"', "uplink = []", "uplink", "E011"),
        ('role  = "net"', 'role  = "firewall"', "qube[].role", "E014"),
        ('label = "red"', 'label = "red"\nnetvm = "sys-firewall"', "qube[0].netvm", "E015"),
        ('netvm = "sys-net"', 'netvm = "sys-firewall"', "qube[1].netvm", "E017"),
        ('netvm = "sys-net"', "netvm = 7", "qube[1].netvm", "E011"),
        ('name  = "sys-firewall"', "", "qube[1].name", "E011"),
        ('name  = "sys-firewall"', 'name  = "1st"', "qube[1].name", "E011"),
        ('name  = "sys-firewall"', 'name  = "a$(id)"', "qube[1].name", "E011"),
        ('name  = "sys-firewall"', 'name  = "a\\nb"', "qube[1].name", "E011"),
        ('name  = "sys-firewall"', f'name  = "{"a" * 32}"', "qube[1].name", "E011"),
        ('label = "green"', 'label = "green"\nvpn = { config = "x" }', "qube[1].vpn", "E020"),
        ('"lab:provider-a" }', '"lab:provider-a", key = "k" }', "qube[2].vpn.key", "E012"),
    ],
)
def test_trouble(old: str, new: str, where: str, code: str) -> None:
    assert old in GOOD
    found, exit_code = problems(GOOD.replace(old, new, 1))
    assert found[where][0] == code
    assert found[where][2]
    assert exit_code is Exit.USAGE


@pytest.mark.parametrize(
    ("old", "new", "where", "value", "accepted"),
    [
        ('label = "black"', 'label = "pink"', "qube[3].label", "'pink'", "red, orange, yellow"),
        ('backend = "netns"', 'backend = "xen"', "backend", "'xen'", "netns"),
        ('role  = "firewall"', "role  = 5", "qube[1].role", "5", "net, firewall, vpn-proxy"),
        ('name  = "sys-firewall"', 'name  = "a; b"', "qube[1].name", "'a; b'", "a letter, then"),
        ('netvm = "sys-net"', 'netvm = "sys-nat"', "qube[1].netvm", "'sys-nat'", "sys-net"),
        ('netvm = "sys-net"', 'netvm = "anon-whonix"', "qube[1].netvm", "'anon-whonix'", "sys-net"),
        ("schema  = 1", "schema  = 2", "schema", "2", "1"),
    ],
)
def test_a_problem_tells_the_bad_value_and_what_is_accepted(
    old: str, new: str, where: str, value: str, accepted: str
) -> None:
    found, _ = problems(GOOD.replace(old, new, 1))
    assert found[where][1] == value
    assert found[where][2].startswith(accepted)


def test_not_toml_is_one_problem_with_its_place() -> None:
    with pytest.raises(NetchainError) as caught:
        profile.parse("name = = 1", "p.toml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("E010", "p.toml")
    assert "line 1" in problem.title
    assert caught.value.exit_code is Exit.USAGE


@pytest.mark.parametrize("qubes", ["", "qube = []", 'qube = "x"', "[qube]", "qube = [1]"])
def test_a_profile_without_qubes(qubes: str) -> None:
    found, exit_code = problems(f'schema = 1\nname = "x"\n{qubes}')
    assert found["qube[0]" if "1" in qubes else "qube"][0] == "E011"
    assert exit_code is Exit.USAGE


def test_the_listing_of_errors(golden: Callable[[str, str], None]) -> None:
    text = (
        GOOD.replace('label = "black"', 'lable = "black"')
        .replace('role  = "firewall"', 'role  = "net"')
        .replace('backend = "netns"', 'backend = "nets"')
        .replace('name  = "anon-whonix"', 'name  = "anon; reboot"')
        .replace('netvm = "sys-proxyvm"', 'netvm = "sys-proxy"')
    )
    with pytest.raises(NetchainError) as caught:
        profile.parse(text, "broken.toml")
    golden("profile/broken.txt", "".join(f"{render(p)}\n" for p in caught.value.problems))


def test_a_misspelt_key_gets_a_hint() -> None:
    with pytest.raises(NetchainError) as caught:
        profile.parse(GOOD.replace("label", "lable", 1), "p")
    assert "did you mean label?" in [p.help for p in caught.value.problems]


def test_discouraged_order_is_refused_unless_meant() -> None:
    swapped = (
        GOOD.replace('netvm = "sys-firewall"', 'netvm = "sys-whonix"', 1)
        .replace('netvm = "sys-proxyvm"', 'netvm = "sys-firewall"', 1)
        .replace('netvm = "sys-whonix"\nlabel = "red"', 'netvm = "sys-proxyvm"\nlabel = "red"', 1)
    )
    found, exit_code = problems(swapped)
    assert exit_code is Exit.REFUSED
    assert found["qube[2].netvm"][0] == "E019"
    assert profile.parse("allow_discouraged = true\n" + swapped, "p").allow_discouraged


def test_all_problems_come_at_once() -> None:
    text = GOOD.replace('label = "black"', 'label = "pink"').replace('"sys-net"', '"n n"', 1)
    found, _ = problems(text.replace("schema  = 1", "schema = 9"))
    assert {"schema", "qube[0].name", "qube[3].label", "qube[1].netvm"} <= found.keys()


@given(st.text(max_size=300))
def test_any_text_is_a_chain_or_an_error_of_ours(text: str) -> None:
    try:
        profile.parse(text, "p")
    except NetchainError as error:
        assert error.problems


_VALUES: st.SearchStrategy[object] = st.one_of(
    st.text(max_size=5), st.integers(), st.booleans(), st.just([]), st.just({})
)


@given(st.integers(0, 40), _VALUES)
def test_any_value_at_any_line_is_an_error_of_ours(line: int, value: object) -> None:
    lines = GOOD.splitlines()
    key = lines[line % len(lines)].partition("=")[0]
    shown = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    text = repr(shown) if not isinstance(shown, str) or shown not in ("true", "false") else shown
    lines[line % len(lines)] = f"{key}= {text.replace(chr(39), chr(34))}" if key.strip() else ""
    try:
        profile.parse("\n".join(lines), "p")
    except NetchainError as error:
        assert all(p.code for p in error.problems)


_KEYS = st.sampled_from(["name", "role", "label", "netvm", "vpn", "schema", "qube", "uplink", "x"])
_WORDS = st.sampled_from(
    [*"ab", "net", "firewall", "vpn-proxy", "tor-gateway", "workstation", "red"]
)
_LEAVES = _WORDS | st.text(max_size=8) | st.integers(-9, 9) | st.booleans() | st.floats()
_TREES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5)
)
_QUBES = st.dictionaries(_KEYS, _WORDS | st.just({"config": "x"}) | _TREES, max_size=6)


def toml(value: object) -> str:
    """The value as TOML: tables inline, so that no order of keys matters."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k} = {toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


@given(st.dictionaries(_KEYS, _TREES, max_size=4), st.lists(_QUBES, max_size=5) | _TREES)
def test_any_tables_are_a_chain_or_an_error_of_ours(top: dict[str, object], qubes: object) -> None:
    data = {"schema": 1, "name": "x", **top, "qube": qubes}
    try:
        made = profile.parse("".join(f"{k} = {toml(v)}\n" for k, v in data.items()), "p")
    except NetchainError as error:
        assert all(p.code and p.title and p.where for p in error.problems)
    else:
        assert made.qubes


@pytest.mark.parametrize(
    "text",
    [f"schema = {'1' * 5000}", f"schema = 0x{'f' * 6000}", f"a = {'[' * 3000}"],
    ids=["decimal too long", "hexadecimal too long to be shown", "nested too deeply"],
)
def test_extreme_values_are_an_error_of_ours(text: str) -> None:
    with pytest.raises(NetchainError):
        profile.parse(text, "p")


@pytest.mark.parametrize("value", ["true", "1.0"])
def test_the_schema_is_a_whole_number(value: str) -> None:
    with pytest.raises(NetchainError):
        profile.parse(GOOD.replace("schema  = 1", f"schema = {value}"), "p")


def test_a_missing_name_is_no_problem_of_another_qube() -> None:
    text = GOOD.replace('name  = "sys-net"', "", 1).replace('"anon-whonix"', '"qube-0"')
    assert "qube[4].name" not in problems(text)[0]


def test_a_key_cannot_speak_to_the_terminal() -> None:
    with pytest.raises(NetchainError) as caught:
        profile.parse(f'"\\u001b[2J" = 1\n{GOOD}', "p")
    assert "\033" not in "".join(render(p) for p in caught.value.problems)

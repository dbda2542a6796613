"""Every trouble of a profile: its key path, the bad value, what is accepted, all at once."""

from __future__ import annotations

import pytest
from chains import PROFILES, ROOT
from hypothesis import given
from hypothesis import strategies as st

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
    ],
)
def test_trouble(old: str, new: str, where: str, code: str) -> None:
    assert old in GOOD
    found, exit_code = problems(GOOD.replace(old, new, 1))
    assert found[where][0] == code
    assert exit_code is Exit.USAGE


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


_VALUES = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.just([]), st.just({}))


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

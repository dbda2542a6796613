"""Nothing but checked values reaches nft text."""

from __future__ import annotations

import ast
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netchain.nft import literals
from netchain.nft.literals import IfName, Mark, Port, Protocol, Uid, element, literal

PLAIN = re.compile(r'[0-9a-f:.]+|"[A-Za-z_][A-Za-z0-9_.-]{0,14}"', re.ASCII)

good = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.integers(1, 65535).map(Port),
    st.integers(1, 2**32 - 1).map(Mark),
    st.integers(0, 2**32 - 2).map(Uid),
    st.sampled_from(Protocol),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,14}", fullmatch=True).map(IfName.parse),
)


@given(good)
def test_every_value_is_one_plain_word(value: Any) -> None:
    assert PLAIN.fullmatch(literal(value))


@given(st.lists(good, min_size=1, max_size=5))
def test_an_element_is_plain_words_and_dots(values: list[Any]) -> None:
    words = element(tuple(values)).split(" . ")
    assert len(words) == len(values)
    assert all(PLAIN.fullmatch(word) for word in words)


@given(st.text(max_size=20))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """The text a person or a provider wrote: it becomes one quoted word, or nothing at all."""
    try:
        word = literal(IfName.parse(text))
    except ValueError:
        return
    assert word == f'"{text}"'
    assert PLAIN.fullmatch(word)


@pytest.mark.parametrize(
    "text", ["", "eth0 ", "eth0;", 'e"', "a" * 16, "vif*", "$x", "-v", ".", "é", "eth0\n", "a b"]
)
def test_what_is_no_interface_name(text: str) -> None:
    with pytest.raises(ValueError, match="not an interface name"):
        IfName.parse(text)


class SlyAddress(IPv4Address):
    def __str__(self) -> str:
        return "0.0.0.0/0 }; flush ruleset; #"


@pytest.mark.parametrize(
    "value", ["10.0.0.1", b"x", 51820, True, 1.5, None, ["a"], SlyAddress("10.0.0.1"), "eth0"]
)
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        literal(value)


def test_a_name_made_past_its_check_is_refused() -> None:
    with pytest.raises(ValueError, match="not an interface name"):
        literal(IfName("x; flush ruleset"))


def test_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        literal(IPv6Address("fe80::1%eth0"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Port, 0), (Port, 65536), (Port, -1), (Mark, 0), (Mark, 2**32), (Uid, -1), (Uid, 2**32 - 1)],
)
def test_out_of_range(kind: type[Port], value: int) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(value)


@pytest.mark.parametrize("value", ["53", 53.0, True, None])
def test_a_number_is_an_int(value: Any) -> None:
    with pytest.raises(TypeError):
        Port(value)


def test_an_element_has_a_value() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        element(())


def test_the_layer_is_pure() -> None:
    """Only the loader of the library touches the system."""
    acts = {"subprocess", "socket", "os", "pyroute2", "nftables", "ctypes", "importlib"}
    for path in Path(literals.__file__).parent.glob("*.py"):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {
            name.partition(".")[0]
            for node in tree
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [*(alias.name for alias in node.names), getattr(node, "module", "") or ""]
        }
        assert path.stem == "library" or not names & acts

"""`-k`: words of ids and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaktests.engine.choose import chosen, matcher

NAMES = ("P05 DNS over UDP", "P06 DNS over TCP", "P14 a TCP SYN", "S01 another qube's address")


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("dns", NAMES[:2]),
        ("dns and not tcp", NAMES[:1]),
        ("P05 or s01", (NAMES[0], NAMES[3])),
        ("not (dns or tcp)", NAMES[3:]),
        ("not not dns", NAMES[:2]),
        ("tcp and dns or s01", (NAMES[1], NAMES[3])),
        ("s01 or tcp and dns", (NAMES[1], NAMES[3])),
    ],
)
def test_words_and_operators(expression: str, found: tuple[str, ...]) -> None:
    assert tuple(chosen(expression, NAMES, str)) == found


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("", "a word is missing"),
        ("dns and", "a word is missing"),
        ("dns tcp", "'tcp' was not expected"),
        ("(dns", "a bracket is not closed"),
        ("dns)", r"'\)' was not expected"),
        ("or dns", "'or' was not expected"),
        ("nothing like it", "'like' was not expected"),
        ("nosuch", "nothing has such"),
    ],
)
def test_what_is_wrong_is_said(expression: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        chosen(expression, NAMES, str)


@given(st.lists(st.sampled_from(["dns", "tcp", "and", "or", "not", "(", ")"]), max_size=8))
def test_agrees_with_python_or_refuses(tokens: list[str]) -> None:
    """Python's own operators have the same order."""
    try:
        takes = matcher(" ".join(tokens))
    except ValueError:
        return
    words = {"dns": "('dns' in name)", "tcp": "('tcp' in name)"}
    code = " ".join(words.get(token, token) for token in tokens)
    for name in NAMES:
        assert takes(name) == eval(code, {"name": name.lower()})

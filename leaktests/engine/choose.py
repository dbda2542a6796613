"""`-k EXPR`: which probes, by words of their ids and names (pure).

As pytest has it: words with `and`, `or`, `not` and brackets; a word is found anywhere in
`ID name`, capitals or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_OPERATORS = ("and", "or", "not", "(", ")")
Test = Callable[[str], bool]
Named = TypeVar("Named")


def matcher(expression: str) -> Test:
    """A test for names. ValueError says what is wrong with the expression."""
    tokens = [token.lower() for token in _TOKEN.findall(expression)]
    test, rest = _either(tokens)
    if rest:
        raise ValueError(f"{rest[0]!r} was not expected")
    return lambda name: test(name.lower())


def chosen(expression: str, named: Iterable[Named], name: Callable[[Named], str]) -> list[Named]:
    """Those whose name the expression takes. ValueError as `matcher`, and when there is none."""
    takes = matcher(expression)
    found = [one for one in named if takes(name(one))]
    if not found:
        raise ValueError("nothing has such an id or name")
    return found


def _either(tokens: list[str]) -> tuple[Test, list[str]]:
    left, rest = _both(tokens)
    while rest[:1] == ["or"]:
        right, rest = _both(rest[1:])
        left = _any(left, right)
    return left, rest


def _both(tokens: list[str]) -> tuple[Test, list[str]]:
    left, rest = _one(tokens)
    while rest[:1] == ["and"]:
        right, rest = _one(rest[1:])
        left = _all(left, right)
    return left, rest


def _one(tokens: list[str]) -> tuple[Test, list[str]]:
    if not tokens:
        raise ValueError("a word is missing at the end")
    first, *rest = tokens
    if first == "not":
        test, rest = _one(rest)
        return (lambda name: not test(name)), rest
    if first == "(":
        test, rest = _either(rest)
        if rest[:1] != [")"]:
            raise ValueError("a bracket is not closed")
        return test, rest[1:]
    if first in _OPERATORS:
        raise ValueError(f"{first!r} was not expected")
    return (lambda name: first in name), rest


def _any(one: Test, other: Test) -> Test:
    return lambda name: one(name) or other(name)


def _all(one: Test, other: Test) -> Test:
    return lambda name: one(name) and other(name)

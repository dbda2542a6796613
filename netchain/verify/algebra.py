"""The Boolean algebra that all reasoning is written over.

One semantics (packet.py, matching.py, walk.py, hooks.py) is read in three ways: with `Truth` it is
a packet simulator, with decision diagrams (diagrams.py) the prover, with z3 (solver.py) a second
opinion. So whatever is tried against the kernel with packets is the very code that proves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

Bit = Any
"""A value of the algebra at hand: bool, a decision diagram, a z3 expression."""


class Algebra(Protocol):
    """What is needed of one. Variables are known by name: the same name is the same variable."""

    true: Bit
    false: Bit
    known: dict[tuple[tuple[Bit, ...], int], Bit]
    """Comparisons of words with values that were made before: rules ask the same many times."""

    def variable(self, name: str) -> Bit: ...

    def both(self, a: Bit, b: Bit) -> Bit: ...

    def either(self, a: Bit, b: Bit) -> Bit: ...

    def no(self, a: Bit) -> Bit: ...

    def choose(self, condition: Bit, then: Bit, otherwise: Bit) -> Bit: ...

    def is_false(self, a: Bit) -> bool:
        """Whether it is false whatever the variables are; may be answered False when unsure."""


def every(algebra: Algebra, bits: Iterable[Bit]) -> Bit:
    """Their conjunction; true for none."""
    found = algebra.true
    for bit in bits:
        found = algebra.both(bit, found)
    return found


def any_of(algebra: Algebra, bits: Iterable[Bit]) -> Bit:
    """Their disjunction; false for none."""
    found = algebra.false
    for bit in bits:
        found = algebra.either(found, bit)
    return found


class Truth:
    """Every variable has a value: what is computed is what becomes of one packet."""

    true, false = True, False

    def __init__(self, values: Mapping[str, bool]) -> None:
        """A variable without a value is false."""
        self._values = values
        self.known: dict[tuple[tuple[Bit, ...], int], Bit] = {}
        self.asked: dict[str, bool] = {}
        """Every variable that was asked for."""

    def variable(self, name: str) -> Bit:
        self.asked[name] = value = self._values.get(name, False)
        return value

    def both(self, a: Bit, b: Bit) -> Bit:
        return a and b

    def either(self, a: Bit, b: Bit) -> Bit:
        return a or b

    def no(self, a: Bit) -> Bit:
        return not a

    def choose(self, condition: Bit, then: Bit, otherwise: Bit) -> Bit:
        return then if condition else otherwise

    def is_false(self, a: Bit) -> bool:
        return not a

"""Words of bits over an algebra: comparisons with constants, choices (most significant bit first).

A word that is one of several, by conditions, stays a choice between them instead of being mixed bit
by bit: asking it for a value is asking each of them, which takes a hundredth of the time where an
address was translated (measured on 128 bits).

Conjunctions are built from the last bit to the first, which is the order of a decision diagram's
variables from the bottom up: each step adds one node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netchain.verify.algebra import Algebra, Bit, any_of, every

Bits = tuple[Bit, ...]


@dataclass(frozen=True)
class Choice:
    """A word that is one of these, each under its condition; at most one condition holds."""

    options: tuple[tuple[Bit, Bits], ...]

    def __len__(self) -> int:
        return len(self.options[0][1])


Word = Bits | Choice


def constant(algebra: Algebra, value: int, bits: int) -> Bits:
    return tuple(algebra.true if value >> n & 1 else algebra.false for n in reversed(range(bits)))


def variable(algebra: Algebra, name: str, bits: int) -> Bits:
    """A word of variables NAME.0 (the most significant one), NAME.1 ..."""
    return tuple(algebra.variable(f"{name}.{n}") for n in range(bits))


def is_value(algebra: Algebra, word: Word, value: int) -> Bit:
    """Whether the word is the value; never for a value that it has no room for."""
    if value < 0 or value >> len(word):
        return algebra.false
    return _ask(algebra, word, lambda bits: _is_value(algebra, bits, value))


def is_prefix(algebra: Algebra, word: Word, value: int, length: int) -> Bit:
    """Whether the first `length` bits are those of the value."""
    return is_value(algebra, piece(word, 0, length), value >> (len(word) - length))


def is_at_most(algebra: Algebra, word: Word, value: int) -> Bit:
    """Whether the word, as a number, is no more than the value."""
    if value < 0:
        return algebra.false
    if value >> len(word):
        return algebra.true
    return _ask(algebra, word, lambda bits: _is_at_most(algebra, bits, value))


def is_between(algebra: Algebra, word: Word, low: int, high: int) -> Bit:
    """Whether it is in the range, both ends included."""
    below = is_at_most(algebra, word, low - 1)
    return algebra.both(algebra.no(below), is_at_most(algebra, word, high))


def is_same(algebra: Algebra, one: Word, other: Word) -> Bit:
    """Whether both are the same number."""
    return _ask(
        algebra, one,
        lambda a: _ask(algebra, other, lambda b: every(
            algebra, (algebra.choose(x, y, algebra.no(y)) for x, y in zip(a, b, strict=True)))),
    )  # fmt: skip


def has_any(algebra: Algebra, word: Word, mask: int) -> Bit:
    """Whether one of the mask's bits is set."""
    return _ask(algebra, masked(algebra, word, mask), lambda bits: any_of(algebra, bits))


def masked(algebra: Algebra, word: Word, mask: int) -> Word:
    """Only the bits that the mask has."""
    kept = [bool(mask >> n & 1) for n in reversed(range(len(word)))]

    def only(bits: Bits) -> Bits:
        pairs = zip(bits, kept, strict=True)
        return tuple(bit if keep else algebra.false for bit, keep in pairs)

    return _each(word, only)


def piece(word: Word, first: int, after: int) -> Word:
    """The bits from `first` to before `after`."""
    return _each(word, lambda bits: bits[first:after])


def choose(algebra: Algebra, condition: Bit, then: Word, otherwise: Word) -> Word:
    """The one word where the condition holds, else the other."""
    found: dict[Bits, Bit] = {}
    for is_it, word in ((condition, then), (algebra.no(condition), otherwise)):
        for where, bits in _options(algebra, word):
            both = algebra.both(is_it, where)
            if not algebra.is_false(both):
                found[bits] = algebra.either(found[bits], both) if bits in found else both
    if len(found) == 1 or not found:
        return next(iter(found), flat(algebra, otherwise))
    return Choice(tuple((where, bits) for bits, where in found.items()))


def flat(algebra: Algebra, word: Word) -> Bits:
    """The word bit by bit."""
    if not isinstance(word, Choice):
        return word
    columns = zip(*(bits for _, bits in word.options), strict=True)
    return tuple(
        any_of(algebra, (algebra.both(where, bit)
                         for (where, _), bit in zip(word.options, column, strict=True)))
        for column in columns
    )  # fmt: skip


def _options(algebra: Algebra, word: Word) -> tuple[tuple[Bit, Bits], ...]:
    return word.options if isinstance(word, Choice) else ((algebra.true, word),)


def _ask(algebra: Algebra, word: Word, question: Callable[[Bits], Bit]) -> Bit:
    if not isinstance(word, Choice):
        return question(word)
    return any_of(algebra, (algebra.both(where, question(bits)) for where, bits in word.options))


def _each(word: Word, change: Callable[[Bits], Bits]) -> Word:
    if not isinstance(word, Choice):
        return change(word)
    return Choice(tuple((where, change(bits)) for where, bits in word.options))


def _is_value(algebra: Algebra, bits: Bits, value: int) -> Bit:
    key = bits, value
    known = algebra.known.get(key)
    if known is None:
        known = algebra.true
        for bit in reversed(bits):
            known = algebra.both(bit if value & 1 else algebra.no(bit), known)
            value >>= 1
        algebra.known[key] = known
    return known


def _is_at_most(algebra: Algebra, bits: Bits, value: int) -> Bit:
    found = algebra.true
    for bit in reversed(bits):
        no = algebra.no(bit)
        found = algebra.either(no, found) if value & 1 else algebra.both(no, found)
        value >>= 1
    return found

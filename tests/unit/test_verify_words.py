"""Words and headers: what they say as numbers, the same with truth values and with diagrams."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netchain.verify import words
from netchain.verify.algebra import Truth
from netchain.verify.diagrams import Diagrams
from netchain.verify.header import Header
from netchain.verify.words import Choice, Word

BITS = 6
TRUTH = Truth({})
DIAGRAMS = Diagrams()
values = st.integers(0, (1 << BITS) - 1)
anything = st.integers(-2, (1 << BITS) + 2)


def spelled(value: int) -> dict[str, bool]:
    """The variables of the word "w" with that value."""
    return {f"w.{n}": bool(value >> (BITS - 1 - n) & 1) for n in range(BITS)}


def asked(algebra: Truth | Diagrams, low: int, high: int, mask: int) -> list[object]:
    word = words.variable(algebra, "w", BITS)
    return [
        words.is_value(algebra, word, low),
        words.is_at_most(algebra, word, low),
        words.is_between(algebra, word, low, high),
        words.is_prefix(algebra, word, high & (1 << BITS) - 1, mask % (BITS + 1)),
        words.has_any(algebra, word, mask),
    ]


@given(values, anything, anything, values)
def test_comparisons_are_those_of_numbers(value: int, low: int, high: int, mask: int) -> None:
    length = mask % (BITS + 1)
    same = value >> (BITS - length) == (high & (1 << BITS) - 1) >> (BITS - length)
    expected = [value == low, value <= low, low <= value <= high, same, bool(value & mask)]
    assert asked(Truth(spelled(value)), low, high, mask) == expected
    diagrams = asked(DIAGRAMS, low, high, mask)
    for found, wanted in zip(diagrams, expected, strict=True):
        here = DIAGRAMS.true
        for name, bit in spelled(value).items():
            variable = DIAGRAMS.variable(name)
            here = DIAGRAMS.both(here, variable if bit else DIAGRAMS.no(variable))
        assert DIAGRAMS.is_false(DIAGRAMS.both(here, found)) is not wanted  # type: ignore[arg-type]


@given(values, values, st.booleans(), values)
def test_a_choice_is_the_one_that_is_chosen(one: int, other: int, which: bool, asked: int) -> None:
    condition = DIAGRAMS.variable("which")
    a, b = (words.constant(DIAGRAMS, value, BITS) for value in (one, other))
    word = words.choose(DIAGRAMS, condition, a, b)
    assert isinstance(word, Choice) is (one != other)
    chosen = condition if which else DIAGRAMS.no(condition)
    hit = DIAGRAMS.both(chosen, words.is_value(DIAGRAMS, word, asked))
    assert DIAGRAMS.is_false(hit) is ((one if which else other) != asked)
    bits = words.flat(DIAGRAMS, word)
    assert words.is_value(DIAGRAMS, bits, asked) == words.is_value(DIAGRAMS, word, asked)


writes = st.lists(
    st.tuples(st.integers(0, 15), st.integers(1, 9), st.booleans(), st.integers(0, 511)),
    max_size=5,
)


@given(st.integers(0, (1 << 24) - 1), writes, st.integers(0, 15), st.integers(1, 9))
def test_a_header_is_what_was_written_last(
    came: int, written: list[tuple[int, int, bool, int]], first: int, count: int
) -> None:
    """Over each other, beside each other, under conditions that hold or do not."""
    header = Header(TRUTH, words.constant(TRUTH, came, 24))
    expected = list(header.came)
    for begin, length, condition, value in written:
        word = words.constant(TRUTH, value & (1 << length) - 1, length)
        header = header.written(begin, condition, word)
        if condition:
            expected[begin : begin + length] = word
    assert words.flat(TRUTH, header.bits(first, count)) == tuple(expected[first : first + count])
    spread = [(begin, begin + len(word)) for begin, word in header.over]
    assert all(a[1] <= b[0] or b[1] <= a[0] for a in spread for b in spread if a != b)


@given(writes, writes, st.booleans())
def test_either_of_two_headers(
    one: list[tuple[int, int, bool, int]], other: list[tuple[int, int, bool, int]], which: bool
) -> None:
    start = Header(TRUTH, words.constant(TRUTH, 0x5A5A5A, 24))

    def made(written: list[tuple[int, int, bool, int]]) -> Header:
        found = start
        for begin, length, condition, value in written:
            word: Word = words.constant(TRUTH, value & (1 << length) - 1, length)
            found = found.written(begin, condition, word)
        return found

    a, b = made(one), made(other)
    found = a.either(which, b)
    expected = (a if which else b).bits(0, 24)
    assert words.flat(TRUTH, found.bits(0, 24)) == words.flat(TRUTH, expected)

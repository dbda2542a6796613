"""A header's bits, some of which may have been written over, under conditions."""

from __future__ import annotations

from dataclasses import dataclass

from netchain.verify.algebra import Algebra, Bit
from netchain.verify.words import Bits, Word, choose, flat, piece


@dataclass(frozen=True)
class Header:
    """The bits as they came, and what was written over them, by where it begins; none overlap."""

    algebra: Algebra
    came: Bits
    over: tuple[tuple[int, Word], ...] = ()

    def __len__(self) -> int:
        return len(self.came)

    def bits(self, first: int, count: int) -> Word:
        after = first + count
        for begin, word in self.over:
            if begin <= first and after <= begin + len(word):
                return piece(word, first - begin, after - begin)
        found = list(self.came[first:after])
        for begin, word in self.over:
            low, high = max(first, begin), min(after, begin + len(word))
            if low < high:
                part = flat(self.algebra, piece(word, low - begin, high - begin))
                found[low - first : high - first] = part
        return tuple(found)

    def written(self, first: int, condition: Bit, word: Word) -> Header:
        """With another value from `first` on, where the condition holds."""
        after = first + len(word)
        new = choose(self.algebra, condition, word, self.bits(first, len(word)))
        rest: list[tuple[int, Word]] = []
        for begin, old in self.over:  # what is left of each, before and behind
            end = begin + len(old)
            if begin < first:
                rest.append((begin, piece(old, 0, min(end, first) - begin)))
            if after < end:
                low = max(begin, after)
                rest.append((low, piece(old, low - begin, len(old))))
        return Header(self.algebra, self.came, (*rest, (first, new)))

    def either(self, condition: Bit, otherwise: Header) -> Header:
        """This one where the condition holds, else the other one, which came as the same."""
        if self is otherwise:
            return self
        found = otherwise
        for begin, word in self.over:
            found = found.written(begin, condition, word)
        for begin, word in otherwise.over:
            found = found.written(begin, condition, self.bits(begin, len(word)))
        return found

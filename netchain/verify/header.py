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
        if any(begin < after and first < begin + len(word) for begin, word in self.over):
            return self._flat()[first:after]
        return self.came[first:after]

    def written(self, first: int, condition: Bit, word: Word) -> Header:
        """With another value from `first` on, where the condition holds."""
        after = first + len(word)
        new = choose(self.algebra, condition, word, self.bits(first, len(word)))
        apart = tuple(
            (begin, old) for begin, old in self.over
            if begin + len(old) <= first or after <= begin
        )  # fmt: skip
        crossed = [
            (begin, old) for begin, old in self.over
            if (begin, old) not in apart and not (first <= begin and begin + len(old) <= after)
        ]  # fmt: skip
        came = self._flat() if crossed else self.came
        return Header(self.algebra, came, (*(() if crossed else apart), (first, new)))

    def either(self, condition: Bit, otherwise: Header) -> Header:
        """This one where the condition holds, else the other one, which came as the same."""
        if self is otherwise:
            return self
        found = otherwise
        for begin, word in self.over:
            found = found.written(begin, condition, word)
        for begin, word in otherwise.over:
            mine = self.bits(begin, len(word))
            found = found.written(begin, condition, mine)
        return found

    def _flat(self) -> Bits:
        found = list(self.came)
        for begin, word in self.over:
            found[begin : begin + len(word)] = flat(self.algebra, word)
        return tuple(found)

"""Drift: one thing of a qube that is otherwise than it should be, in words for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHOWN = 4


@dataclass(frozen=True)
class Difference:
    """What is there (`have`, "" for nothing) and what should be (`want`, "" for nothing)."""

    what: str
    have: str = ""
    want: str = ""

    def __str__(self) -> str:
        if self.have and self.want:
            return f"~ {self.what}: {self.have}, should be {self.want}"
        return f"+ {self.what} {self.have}" if self.have else f"- {self.what} {self.want}"


def shown(differences: Iterable[Difference], most: int = _SHOWN) -> list[str]:
    """At most so many lines; the last one says how many are left out."""
    lines = [str(difference) for difference in differences]
    left = len(lines) - most
    return [*lines[:most], f"and {left} more"] if left > 0 else lines


def paired(
    missing: Sequence[tuple[str, str]], extra: Sequence[tuple[str, str]]
) -> list[Difference]:
    """Differences from what is missing and what is there too much, each as (what, words)."""
    return [
        *(Difference(what, have=words) for what, words in extra),
        *(Difference(what, want=words) for what, words in missing),
    ]

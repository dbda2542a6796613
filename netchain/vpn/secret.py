"""A secret in memory: it never shows itself by accident."""

from __future__ import annotations


class Secret:
    """Holds a text; `reveal` is the only way to it, repr and str show its length only."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"(hidden, {len(self._text)} characters)"

    __str__ = __repr__

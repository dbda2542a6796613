"""Qubes' labels and how they look."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Label(StrEnum):
    """Qubes' labels (core-admin app.py), with their exact colours."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    GRAY = "gray"
    BLUE = "blue"
    PURPLE = "purple"
    BLACK = "black"

    @property
    def colour(self) -> str:
        return _COLOURS[self]

    @property
    def text_colour(self) -> str:
        """Black or white, whichever can be read better on the label (WCAG 2.2, contrast ratio)."""
        linear = (int(self.colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                            for c in linear)  # fmt: skip
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


_COLOURS: Mapping[Label, str] = {
    Label.RED: "#cc0000",
    Label.ORANGE: "#f57900",
    Label.YELLOW: "#edd400",
    Label.GREEN: "#73d216",
    Label.GRAY: "#555555",
    Label.BLUE: "#3465a4",
    Label.PURPLE: "#75507b",
    Label.BLACK: "#000000",
}

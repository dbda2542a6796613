"""Names, checked once at the edge: afterwards a name is a type, never a bare string.

The pattern is Qubes OS' own for qubes (core-admin, `qubes.vm.validate_name`: a letter, then
letters, digits, `_` and `-`, 31 characters at most). It holds no character that a shell, nft or a
path would read as anything but itself.
"""

from __future__ import annotations

import re
from typing import Self

NAME_ACCEPTED = "a letter, then letters, digits, _ or -, at most 31 characters"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}", re.ASCII)
NUMBERS = range(1, 10000)
"""Of disposables (core-admin, `dispid`)."""
_DISPOSABLE = re.compile(r"disp([1-9][0-9]{0,3})", re.ASCII)


class _Name(str):
    """A checked name. `parse` raises ValueError with what is accepted."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        if not isinstance(text, str) or not _NAME.fullmatch(text):
            raise ValueError(NAME_ACCEPTED)
        return cls(text)


class ChainName(_Name):
    """The name of a chain."""

    __slots__ = ()


class QubeName(_Name):
    """The name of a qube within its chain; `uplink` stands for the internet (observed.py), `none`
    for no netvm."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        if text in ("uplink", "none"):
            raise ValueError(f"{NAME_ACCEPTED}, and not uplink or none")
        return super().parse(text)


def number_of(name: str) -> int:
    """The number in a disposable's name; 0 for any other name."""
    match = _DISPOSABLE.fullmatch(name)
    return int(match[1]) if match else 0

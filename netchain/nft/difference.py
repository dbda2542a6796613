"""What differs between two listings of `nft list ruleset`, rule by rule, element by element (pure).

The listings are nft's own, so that the same rules list the same; a line is named by the chain or
set that it is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from netchain.model.drift import Difference

Line = tuple[str, str]
_ELEMENTS = re.compile(r"elements = \{(.*)\}", re.DOTALL)


def differences(want: str, have: str) -> list[Difference]:
    """What is there and should not be, then what is missing; nothing when the listings are equal.

    Where a line is in another place, it is there and missing.
    """
    wanted, there = list(_lines(want)), list(_lines(have))
    found: list[Difference] = []
    for tag, a, b, c, d in SequenceMatcher(None, wanted, there, autojunk=False).get_opcodes():
        if tag != "equal":
            found += [Difference(where, have=words) for where, words in there[c:d]]
            found += [Difference(where, want=words) for where, words in wanted[a:b]]
    if not found and want != have:
        found.append(Difference("rules", "others", "those of the profile"))
    return found


def _lines(listing: str) -> Iterator[Line]:
    """Each statement with the block that it is in; each element of a set by itself."""
    block, elements = "", ""
    for raw in listing.splitlines():
        line = raw.strip()
        if elements or line.startswith("elements = {"):
            elements += f" {line}"
            if line.endswith("}"):
                yield from ((block, element) for element in _elements(elements))
                elements = ""
        elif raw.startswith("\t") and not raw.startswith("\t\t") and line.endswith("{"):
            block = line.removesuffix("{").strip()
            yield block, "is there"
        elif line not in ("", "}"):
            yield (block if raw.startswith("\t\t") else "table"), line.removesuffix("{").strip()


def _elements(text: str) -> Iterator[str]:
    match = _ELEMENTS.search(text)
    for element in match[1].split(",") if match else ():
        yield " ".join(element.split())

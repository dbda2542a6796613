"""What a listing of rules (`nft list ruleset`) comes to: the digests that plans compare (pure).

The rule loader makes them where the rules are, so that a chain of many qubes is one request and not
a listing of each.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from netchain.backends.base import digest
from netchain.nft.disposables import comparable
from netchain.nft.fill import BLOCKED_TABLE, TABLE

_TABLE = re.compile(r"^table (\S+ \S+) \{", re.MULTILINE)


@dataclass(frozen=True)
class Loaded:
    """Digests of a qube's blocked table and of its role's, each "" without it; family and name of
    every table, one a line."""

    blocked: str
    rules: str
    tables: str


def loaded(listing: str) -> Loaded:
    """Tables of somebody else's beside ours are a difference, too (drift.py)."""
    blocked, role = table(listing, BLOCKED_TABLE), comparable(table(listing, TABLE))
    return Loaded(digest(blocked), digest(role), "\n".join(_TABLE.findall(listing)))


def role_table(listing: str) -> str:
    """What a checked text must be found as: its role's table, or all that it made; disposables in
    it are left out."""
    return comparable(table(listing, TABLE) or listing)


def key(text: str) -> str:
    """The name by which the rule loader remembers a text that it checked."""
    return hashlib.sha256(text.encode()).hexdigest()


def table(listing: str, name: str) -> str:
    """One table out of the listing; "" when it is not there."""
    start = listing.find(f"table {name} {{")
    if start < 0:
        return ""
    return listing[start : listing.index("\n}\n", start) + 3]

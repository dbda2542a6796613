"""What a listing of rules (`nft list ruleset`) comes to: the digests that plans compare (pure).

The rule loader makes them where the rules are, so that a chain of many qubes is one request and not
a listing of each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from netchain.backends.base import digest
from netchain.nft.fill import BLOCKED_TABLE, TABLE


@dataclass(frozen=True)
class Loaded:
    """Digests of a qube's blocked table, and of all the rules beside it; each "" without any."""

    blocked: str
    rules: str


def loaded(listing: str) -> Loaded:
    """Rules of somebody else's beside ours are a difference, too."""
    blocked = table(listing, BLOCKED_TABLE)
    return Loaded(digest(blocked), digest(listing.replace(blocked, "")))


def role_table(listing: str) -> str:
    """What a checked text must be found as: its role's table, or all that it made."""
    return table(listing, TABLE) or listing


def key(text: str) -> str:
    """The name by which the rule loader remembers a text that it checked."""
    return hashlib.sha256(text.encode()).hexdigest()


def table(listing: str, name: str) -> str:
    """One table out of the listing; "" when it is not there."""
    start = listing.find(f"table {name} {{")
    if start < 0:
        return ""
    return listing[start : listing.index("\n}\n", start) + 3]

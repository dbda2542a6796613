"""A role's rule file, filled: its plain text, and the elements of its sets as nft adds them.

Theory of operation: a rule file is static. What varies are its named sets and maps, whose
contents follow from the chain alone and a few facts about the site. `rules_for` writes them behind
the file's text, so that file and elements are one transaction: there is no moment at which the
rules are there and the sets are not. A set that gets nothing stays empty, and then allows nothing.
"""

from __future__ import annotations

from netchain.model.chain import Chain, Qube
from netchain.nft.sets import Facts, Sets, both, sets_for
from netchain.resources import data_dir

TABLE = "inet netchain"
BLOCKED_TABLE = "inet netchain_blocked"
__all__ = ["BLOCKED_TABLE", "TABLE", "Facts", "fill", "rules_for", "rules_for_both"]


def rules_for(chain: Chain, qube: Qube, facts: Facts) -> str:
    """The transaction that gives the qube its role's rules.

    Raises ValueError or TypeError when the chain or the facts hold what cannot be in a rule, and
    OSError when the rule file cannot be read.
    """
    return fill(_file(qube), sets_for(chain, qube, facts))


def rules_for_both(one: Chain, other: Chain, qube: Qube, facts: Facts) -> str:
    """The same for a moment between two chains: what either allows. Raises as `rules_for`."""
    sets = (sets_for(chain, chain[qube.name], facts) for chain in (one, other))
    return fill(_file(qube), both(*sets))


def _file(qube: Qube) -> str:
    return (data_dir() / "firewall_rules" / f"{qube.role}.nft").read_text(encoding="utf-8")


def fill(text: str, sets: Sets) -> str:
    """The rule file's text and, behind it, the elements of its sets and maps."""
    lines = [text.rstrip("\n")]
    for name, elements in sets.items():
        if elements:
            lines.append(f"add element {TABLE} {name} {{ {', '.join(sorted(elements))} }}")
    return "\n".join(lines) + "\n"

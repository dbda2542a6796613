"""What must hold of loaded rules, whatever their role (pure). The tests hold every rule file to it.

`problems_of` knows the form that no set of rules of ours may lack; that a running qube has the
right ones is for the comparison with what was loaded, and that they keep the promise for packets
and the proof.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netchain.errors import Problem
from netchain.nft.ruleset import NftChain, Ruleset, TableId

ROLE: TableId = ("inet", "netchain")
BLOCKED: TableId = ("inet", "netchain_blocked")
_HOOKS = ("prerouting", "input", "forward", "output")


def problems_of(ruleset: Ruleset, others: Collection[TableId] = ()) -> list[Problem]:
    """Everything that is wrong; `others` are tables of somebody else that may be there."""
    found = list(_tables(ruleset, frozenset(others)))
    for chain in ruleset.chains:
        if chain.table in (ROLE, BLOCKED):
            found += _chain(chain)
    return found


def _tables(ruleset: Ruleset, others: frozenset[TableId]) -> Iterator[Problem]:
    for family, name in sorted(ruleset.tables - others - {ROLE, BLOCKED}):
        yield Problem("E081", "a table that netchain did not make", f"table {family} {name}")
    for other in ruleset.others:
        yield Problem("E081", "an object that netchain never makes", other)
    for family, name in sorted(ruleset.flagged - others):
        yield Problem("E081", "a table with a flag may be asleep", f"table {family} {name}")
    for table in sorted({ROLE} | (ruleset.tables & {BLOCKED})):
        hooks = {c.hook for c in ruleset.chains if c.table == table and c.kind == "filter"}
        for hook in _HOOKS:
            if hook not in hooks:
                yield Problem("E082", f"nothing filters {hook}", f"table {' '.join(table)}")


def _chain(chain: NftChain) -> Iterator[Problem]:
    where = f"chain {' '.join(chain.table)} {chain.name}"
    if chain.kind == "filter":
        if chain.policy != "drop":
            accepted = "policy drop"
            yield Problem("E083", "what no rule decides is let through", where, "", accepted)
        if not chain.ends_in_drop:
            title = "the chain does not end in a drop (its policy alone fails during a reload)"
            yield Problem("E083", title, where, accepted="counter drop as the last rule")
    elif chain.kind not in (None, "nat"):
        yield Problem("E083", "a chain of a type that netchain never makes", where, chain.kind)
    for rule in chain.rules:
        for key in sorted(rule.meta_keys & {"iif", "oif"}):
            title = f"{key} is the number of an interface, which another one can get"
            yield Problem("E084", title, where, rule.comment, "iifgroup, oifgroup or a name")

"""What keeps rules from being reasoned about at all: then nothing is proved."""

from __future__ import annotations

from collections.abc import Iterator

from netchain.model.snapshot import Snapshot
from netchain.nft.ruleset import NftChain, Ruleset
from netchain.nft.statements import Change, Nat, Notrack, Statement, Unmodelled
from netchain.verify.hooks import AT_WORK, FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING

_FAMILIES = frozenset({"inet", "ip", "ip6"})
_PASSED_OVER = frozenset({"arp"})
_HOOKS = frozenset({PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING})
_KINDS = frozenset({"", "veth", "tun", "wireguard", "dummy"})
_JUMPS = 16


def doubts(ruleset: Ruleset, snapshot: Snapshot) -> Iterator[str]:
    """Each as words; none for what netchain makes itself."""
    yield from snapshot.datapaths
    for device in snapshot.devices:
        if device.kind not in _KINDS:
            yield f"{device.name} is of a kind that is not modelled: {device.kind}"
    for other in ruleset.others:
        yield f"rules hold what is not modelled: {other}"
    for family, name in sorted(ruleset.flagged):
        yield f"table {family} {name} has a flag; it may be dormant"
    for chain in ruleset.chains:
        yield from _of_chain(ruleset, chain)
    yield from _side_by_side(ruleset)


def _of_chain(ruleset: Ruleset, chain: NftChain) -> Iterator[str]:
    name = f"chain {' '.join(chain.table)} {chain.name}"
    family = chain.table[0]
    if chain.hook is None or family in _PASSED_OVER:
        return
    if family not in _FAMILIES:
        yield f"{name}: packets pass a {family} table, which is not modelled"
    elif chain.hook not in _HOOKS or chain.device is not None:
        yield f"{name}: its hook {chain.hook} is not modelled"
    elif chain.kind not in ("filter", "nat", "route"):
        yield f"{name}: its type {chain.kind} is not modelled"
    elif chain.kind == "filter" and chain.priority in AT_WORK.get(chain.hook, ()):
        yield f"{name}: at {chain.priority} the kernel works, too; who comes first is not known"
    elif chain.priority is None or chain.policy not in ("accept", "drop", None):
        yield f"{name}: its priority or policy is missing"
    yield from _jumps(ruleset, chain, name)


def _jumps(ruleset: Ruleset, chain: NftChain, name: str) -> Iterator[str]:
    """Jumps to nowhere, in a ring, or deeper than nft has them: no kernel has such rules."""
    chains = {c.name: c for c in ruleset.chains if c.table == chain.table}
    depth, level = 0, {chain.name}
    while level:
        targets = {t for one in level for t in chains[one].targets}
        if missing := targets - chains.keys():
            yield f"{name}: jumps to {', '.join(sorted(missing))}, which is not there"
            return
        depth, level = depth + 1, targets
        if depth > _JUMPS:
            yield f"{name}: jumps too deep, or in a ring"
            return


def _side_by_side(ruleset: Ruleset) -> Iterator[str]:
    """Of two chains of one priority nobody can tell which comes first: it must not matter."""
    seen: dict[tuple[str, int], list[NftChain]] = {}
    for chain in ruleset.chains:
        if chain.hook is not None and chain.kind != "nat" and chain.table[0] in _FAMILIES:
            seen.setdefault((chain.hook, chain.priority or 0), []).append(chain)
    for (hook, priority), chains in seen.items():
        if len(chains) > 1 and any(_changes(ruleset, chain) for chain in chains):
            names = ", ".join(f"{' '.join(c.table)} {c.name}" for c in chains)
            yield f"{names}: all at {hook} {priority}, and one changes what another may ask"


def _changes(ruleset: Ruleset, chain: NftChain) -> bool:
    """Whether something that it does shows elsewhere, in a chain that it can jump to as well."""
    table = [c for c in ruleset.chains if c.table == chain.table]
    rules = [rule for one in table for rule in one.rules]
    return any(_is_change(each) for rule in rules for each in rule.statements)


def _is_change(statement: Statement) -> bool:
    if isinstance(statement, Unmodelled):
        return statement.may_accept
    return isinstance(statement, Change | Nat | Notrack)

"""The rules of a qube as they were read back: `nft -j list ruleset`, typed.

Not `-n`: with it nft prints `meta protocol` byte-swapped. nft can also abort on rules that the
kernel holds and then prints nothing, so nothing is an error here, never "no rules".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from netchain.errors import NetchainError, Problem
from netchain.nft.expressions import (
    Concat,
    Element,
    Expression,
    Meta,
    Prefix,
    Range,
    Values,
    element,
    expression,
)
from netchain.nft.statements import (
    Decide,
    DecideBy,
    Harmless,
    Statement,
    Verdict,
    statement,
    verdict_of,
)

TableId = tuple[str, str]
"""Family and name."""


@dataclass(frozen=True)
class NftRule:
    """One rule; `packets` and `bytes` are those of its counter, None without one."""

    comment: str
    statements: tuple[Statement, ...]
    packets: int | None
    bytes: int | None

    @property
    def meta_keys(self) -> frozenset[str]:
        """What the rule asks of a packet beside its content: iifgroup, skuid, mark ..."""
        return frozenset(_meta_keys(self.statements))

    @property
    def drops_everything(self) -> bool:
        rest = [each for each in self.statements if each != Harmless("counter")]
        return rest == [Decide(Verdict.DROP)]


@dataclass(frozen=True)
class NftChain:
    """A chain; `kind`, `hook`, `priority` and `policy` are None for one that is jumped to, `device`
    for one of any interface. (nft 1.0.6 leaves the device out.)"""

    table: TableId
    name: str
    rules: tuple[NftRule, ...]
    kind: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    device: str | None = None

    @property
    def targets(self) -> frozenset[str]:
        """The chains that it jumps or goes to."""
        return frozenset(_targets(self.rules))

    @property
    def ends_in_drop(self) -> bool:
        return bool(self.rules) and self.rules[-1].drops_everything


@dataclass(frozen=True)
class NftSet:
    """A set or a map; `types` are those of its key's parts, `flags` dynamic, timeout, interval ...

    Of a set that packets may change, the elements are those of one moment.
    """

    table: TableId
    name: str
    members: tuple[Element, ...]
    types: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def elements(self) -> tuple[str, ...]:
        """As nft writes them, of a map `key : value`."""
        return tuple(_written(member) for member in self.members)

    @property
    def may_change(self) -> bool:
        """Whether packets or time may change it: rules that write into it, a time limit. (nft 1.0.6
        leaves `dynamic` out of its JSON.)"""
        return bool(self.flags & {"dynamic", "timeout"})


@dataclass(frozen=True)
class Ruleset:
    """All of a qube's rules.

    `flagged` are tables with a flag (dormant: none of their rules works; nft 1.0.6 prints the
    flag's name wrong), `others` objects of kinds that netchain never makes.
    """

    tables: frozenset[TableId]
    chains: tuple[NftChain, ...]
    sets: tuple[NftSet, ...]
    flagged: frozenset[TableId] = frozenset()
    others: tuple[str, ...] = ()

    def without(self, table: TableId) -> Ruleset:
        """The same without that table."""
        return replace(
            self, tables=self.tables - {table},
            chains=tuple(chain for chain in self.chains if chain.table != table),
            sets=tuple(each for each in self.sets if each.table != table),
        )  # fmt: skip

    def set_named(self, table: TableId, name: str) -> NftSet | None:
        return next((s for s in self.sets if (s.table, s.name) == (table, name)), None)

    def packets_by_comment(self, table: TableId) -> Mapping[str, int]:
        """How many packets met the rules of the table, by the rules' comments."""
        found: Counter[str] = Counter()
        for chain in self.chains:
            if chain.table == table:
                for rule in chain.rules:
                    found[rule.comment] += rule.packets or 0
        return found


def parse(text: str) -> Ruleset:
    """The ruleset that `nft -j list ruleset` printed.

    Raises NetchainError (E080) for what is not its output, the empty text above all.
    """
    try:
        found = [next(iter(item.items())) for item in json.loads(text)["nftables"]]
        if "metainfo" not in dict(found):
            raise KeyError("metainfo")
        return _ruleset(found)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        title = f"the rules that were read back cannot be understood: {error!r}"
        raise NetchainError(Problem("E080", title, value=repr(text[:80]))) from error


def _ruleset(found: list[tuple[str, Any]]) -> Ruleset:
    rules: dict[tuple[TableId, str], list[NftRule]] = {}
    for kind, item in found:
        if kind == "rule":
            rules.setdefault((_table(item), item["chain"]), []).append(_rule(item))
    tables = [item for kind, item in found if kind == "table"]
    written = _written_sets(found)
    known = {"metainfo", "table", "chain", "rule", "set", "map"}
    return Ruleset(
        tables=frozenset((table["family"], table["name"]) for table in tables),
        chains=tuple(
            _chain(item, tuple(rules.get((_table(item), item["name"]), ())))
            for kind, item in found
            if kind == "chain"
        ),
        sets=tuple(
            _set(item, is_written=(_table(item), item["name"]) in written)
            for kind, item in found
            if kind in ("set", "map")
        ),
        flagged=frozenset((t["family"], t["name"]) for t in tables if "flags" in t),
        others=tuple(f"{kind} {i.get('name', '')}" for kind, i in found if kind not in known),
    )


def _table(item: Mapping[str, Any]) -> TableId:
    return item["family"], item["table"]


def _chain(item: Mapping[str, Any], rules: tuple[NftRule, ...]) -> NftChain:
    return NftChain(
        _table(item), item["name"], rules,
        item.get("type"), item.get("hook"), item.get("prio"), item.get("policy"), item.get("dev"),
    )  # fmt: skip


def _rule(item: Mapping[str, Any]) -> NftRule:
    counters = (each["counter"] for each in item["expr"] if "counter" in each)
    counter = next(counters, None) or {}  # a listing without state has `"counter": null`
    statements = tuple(statement(each) for each in item["expr"])
    return NftRule(
        item.get("comment", ""), statements, counter.get("packets"), counter.get("bytes")
    )


def _set(item: Mapping[str, Any], *, is_written: bool) -> NftSet:
    kinds = item["type"]
    flags = {*item.get("flags", ()), *(["dynamic"] if is_written else [])}
    return NftSet(
        _table(item), item["name"], tuple(element(each) for each in item.get("elem", ())),
        tuple([kinds] if isinstance(kinds, str) else kinds), frozenset(flags),
    )  # fmt: skip


def _written_sets(found: list[tuple[str, Any]]) -> frozenset[tuple[TableId, str]]:
    """Sets and maps that rules put elements into, or take some out of: `add @NAME`."""
    return frozenset(
        (_table(rule), str(inner.get("name" if word == "meter" else word, "")).removeprefix("@"))
        for kind, rule in found if kind == "rule"
        for each in rule["expr"] for word, inner in each.items()
        if word in ("set", "map", "meter") and isinstance(inner, Mapping)
    )  # fmt: skip


def _written(member: Element) -> str:
    key = _words(member.key)
    return key if member.data is None else f"{key} : {_words(expression(member.data))}"


def _words(value: Expression) -> str:
    match value:
        case Concat(parts):
            return " . ".join(_words(part) for part in parts)
        case Range(low, high):
            return f"{_words(low)}-{_words(high)}"
        case Prefix(address, length):
            return f"{_words(address)}/{length}"
        case str() | int():
            return str(value)
    raise ValueError(f"an element of unknown form: {value!r}")


def _targets(rules: tuple[NftRule, ...]) -> Iterator[str]:
    for rule in rules:
        for each in rule.statements:
            found: list[Decide | None] = []
            if isinstance(each, Decide):
                found = [each]
            elif isinstance(each, DecideBy) and isinstance(each.data, Values):
                found = [verdict_of(member.data) for member in each.data.elements]
            yield from (one.target for one in found if one is not None and one.target)


def _meta_keys(value: Any) -> Iterator[str]:
    if isinstance(value, Meta):
        yield value.key
    elif is_dataclass(value):
        for field in fields(value):
            yield from _meta_keys(getattr(value, field.name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from _meta_keys(inner)

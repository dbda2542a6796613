"""The rules of a qube as they were read back: `nft -j list ruleset`, typed.

Not `-n`: with it nft prints `meta protocol` byte-swapped. nft can also abort on rules that the
kernel holds and then prints nothing, so nothing is an error here, never "no rules".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netchain.errors import NetchainError, Problem

Statement = Mapping[str, Any]
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
        words = [word for statement in self.statements for word in statement]
        return words[-1:] == ["drop"] and set(words) <= {"counter", "drop"}


@dataclass(frozen=True)
class NftChain:
    """A chain; `kind`, `hook`, `priority` and `policy` are None for one that is jumped to."""

    table: TableId
    name: str
    rules: tuple[NftRule, ...]
    kind: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None

    @property
    def ends_in_drop(self) -> bool:
        return bool(self.rules) and self.rules[-1].drops_everything


@dataclass(frozen=True)
class NftSet:
    """A set or a map; elements as nft writes them, of a map `key : value`."""

    table: TableId
    name: str
    elements: tuple[str, ...]


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
    known = {"metainfo", "table", "chain", "rule", "set", "map"}
    return Ruleset(
        tables=frozenset((table["family"], table["name"]) for table in tables),
        chains=tuple(
            _chain(item, tuple(rules.get((_table(item), item["name"]), ())))
            for kind, item in found
            if kind == "chain"
        ),
        sets=tuple(
            NftSet(_table(i), i["name"], tuple(_element(e) for e in i.get("elem", ())))
            for kind, i in found
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
        item.get("type"), item.get("hook"), item.get("prio"), item.get("policy"),
    )  # fmt: skip


def _rule(item: Mapping[str, Any]) -> NftRule:
    statements: tuple[Statement, ...] = tuple(item["expr"])
    counters = (statement["counter"] for statement in statements if "counter" in statement)
    counter = next(counters, None) or {}  # a listing without state has `"counter": null`
    return NftRule(
        item.get("comment", ""), statements, counter.get("packets"), counter.get("bytes")
    )


def _element(item: Any) -> str:
    match item:
        case [key, value]:
            return f"{_element(key)} : {_element(value)}"
        case {"concat": parts}:
            return " . ".join(_element(part) for part in parts)
        case {"range": [first, last]}:
            return f"{_element(first)}-{_element(last)}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"elem": {"val": value}}:
            return _element(value)
        case str() | int():
            return str(item)
    raise ValueError(f"an element of unknown form: {item!r}")


def _meta_keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for word, inner in value.items():
            if word == "meta":
                yield inner["key"]
            yield from _meta_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _meta_keys(inner)

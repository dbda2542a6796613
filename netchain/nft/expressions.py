"""nft's expressions, typed, from its JSON (libnftables-json(5)); pure.

Nothing is refused here: what is not known becomes `Unmodelled` with its JSON text, and whoever
reasons about it must take it for "may be either".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Payload:
    """A named field of a header: `ip saddr`."""

    protocol: str
    field: str


@dataclass(frozen=True)
class RawPayload:
    """Bits of a header (`ll`, `nh` or `th`): `@th,16,16`."""

    base: str
    offset: int
    bits: int


@dataclass(frozen=True)
class Meta:
    """`meta KEY`."""

    key: str


@dataclass(frozen=True)
class Ct:
    """`ct [DIRECTION] KEY`."""

    key: str
    direction: str = ""


@dataclass(frozen=True)
class Fib:
    """`fib FLAGS RESULT`."""

    result: str
    flags: frozenset[str]


@dataclass(frozen=True)
class Combined:
    """Two expressions and a bitwise operator: `&`, `|`, `^`, `<<` or `>>`."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Concat:
    """`A . B`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Prefix:
    """`ADDRESS/LENGTH`."""

    address: Expression
    length: int


@dataclass(frozen=True)
class Range:
    """`LOW-HIGH`, both included."""

    low: Expression
    high: Expression


@dataclass(frozen=True)
class Values:
    """An anonymous set, `{ A, B }`; elements of a map have `data`."""

    elements: tuple[Element, ...]


@dataclass(frozen=True)
class Flags:
    """A list of names that are or'ed: `syn,ack`."""

    names: tuple[Expression, ...]


@dataclass(frozen=True)
class NamedSet:
    """`@NAME`."""

    name: str


@dataclass(frozen=True)
class Lookup:
    """`KEY map DATA`."""

    key: Expression
    data: Expression


@dataclass(frozen=True)
class Unmodelled:
    """Anything else, as its JSON has it."""

    text: str


@dataclass(frozen=True)
class Element:
    """An element of a set, or of a map with what the key is mapped to."""

    key: Expression
    data: Any = None


Expression = (
    int | str | bool | Payload | RawPayload | Meta | Ct | Fib | Combined | Concat | Prefix | Range
    | Values | Flags | NamedSet | Lookup | Unmodelled
)  # fmt: skip
_OPERATORS = frozenset({"&", "|", "^", "<<", ">>"})


def expression(item: Any) -> Expression:
    """The expression that a piece of JSON is. Raises nothing."""
    match item:
        case str() if item.startswith("@"):
            return NamedSet(item[1:])
        case str() | int():
            return item
        case list():
            return Flags(tuple(expression(part) for part in item))
        case {"elem": {"val": value}}:
            return expression(value)
    if isinstance(item, Mapping) and len(item) == 1:
        ((word, inner),) = item.items()
        found = _operation(word, inner) or _compound(word, inner) or _key(word, inner)
        if found is not None:
            return found
    return Unmodelled(text(item))


def _key(word: str, inner: Any) -> Expression | None:
    match word, inner:
        case "payload", {"protocol": str(protocol), "field": str(field)}:
            return Payload(protocol, field)
        case "payload", {"base": str(base), "offset": int(offset), "len": int(bits)}:
            return RawPayload(base, offset, bits)
        case "meta", {"key": str(key)}:
            return Meta(key)
        case "ct", {"key": str(key), **rest} if rest.keys() <= {"dir", "family"}:
            return Ct(f"{rest.get('family', '')} {key}".strip(), str(rest.get("dir", "")))
        case "fib", {"result": str(result), "flags": flags}:
            return Fib(result, frozenset([flags] if isinstance(flags, str) else flags))
    return None


def _operation(word: str, inner: Any) -> Expression | None:
    if word not in _OPERATORS or not isinstance(inner, list) or len(inner) < 2:
        return None
    found = expression(inner[0])
    for other in inner[1:]:
        found = Combined(word, found, expression(other))
    return found


def _compound(word: str, inner: Any) -> Expression | None:
    match word, inner:
        case "concat", list():
            return Concat(tuple(expression(part) for part in inner))
        case "prefix", {"addr": address, "len": int(length)}:
            return Prefix(expression(address), length)
        case "range", [low, high]:
            return Range(expression(low), expression(high))
        case "set", list():
            return Values(tuple(element(each) for each in inner))
        case "set", _:
            return Values((element(inner),))
        case "map", {"key": key, "data": data}:
            return Lookup(expression(key), expression(data))
    return None


def element(item: Any) -> Element:
    """An element of a set, of a map `[key, data]`."""
    match item:
        case [key, data]:
            return Element(expression(key), data)
        case _:
            return Element(expression(item))


def text(item: Any) -> str:
    """JSON in one line, for people; not too long."""
    words = json.dumps(item, sort_keys=True, default=str)
    return words if len(words) <= 200 else words[:197] + "..."

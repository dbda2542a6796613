"""nft's statements, typed, from its JSON (libnftables-json(5)); pure.

Nothing is refused here. What is not known is `Unmodelled`: it may match or not, and with
`may_accept` it may also end the walk with an accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from netchain.nft.expressions import Expression, expression, text


class Verdict(StrEnum):
    """What may become of a packet; `JUMP` and `GOTO` have a target."""

    ACCEPT = "accept"
    DROP = "drop"
    CONTINUE = "continue"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"


@dataclass(frozen=True)
class Match:
    """`LEFT OPERATOR RIGHT`; `in` is the test of bits, `!` that none of them is set."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Decide:
    """A verdict."""

    verdict: Verdict
    target: str = ""


@dataclass(frozen=True)
class DecideBy:
    """`KEY vmap DATA`."""

    key: Expression
    data: Expression


@dataclass(frozen=True)
class Change:
    """`KEY set VALUE` of the packet, its mark or its flow."""

    key: Expression
    value: Expression


@dataclass(frozen=True)
class Nat:
    """dnat, snat, masquerade or redirect; `family` is the one that it is for ("" either)."""

    kind: str
    family: str = ""
    address: Expression | None = None
    port: Expression | None = None


@dataclass(frozen=True)
class Reject:
    """Drops, and answers with an error; `kind` is icmp, icmpv6, icmpx or `tcp reset`."""

    kind: str


@dataclass(frozen=True)
class Notrack:
    """Conntrack does not look at the packet."""


@dataclass(frozen=True)
class Harmless:
    """Neither asks nor changes anything that is modelled: counter, log."""

    name: str


@dataclass(frozen=True)
class Unmodelled:
    """Anything else."""

    text: str
    may_accept: bool


Statement = (
    Match | Decide | DecideBy | Change | Nat | Reject | Notrack | Harmless | Unmodelled
)  # fmt: skip
_HARMLESS = frozenset(
    {"counter", "log", "last", "ct helper", "ct timeout", "ct expectation", "secmark", "comment"}
)
_MAY_MISS = frozenset({"limit", "quota", "ct count", "set", "map", "meter"})
"""Statements that can only keep the rest of the rule from being reached."""


def statement(item: Mapping[str, Any]) -> Statement:
    """The statement that a piece of JSON is. ValueError for what is no statement at all."""
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ValueError(f"a statement of unknown form: {text(item)}")
    ((word, inner),) = item.items()
    if word in _HARMLESS:
        return Harmless(word)
    if word in _MAY_MISS:
        return Unmodelled(text(item), may_accept=False)
    return _statement(word, inner) or _nat(word, inner) or _unknown(word, inner)


def _statement(word: str, inner: Any) -> Statement | None:
    match word, inner:
        case "match", {"op": str(operator), "left": left, "right": right}:
            return Match(operator, expression(left), expression(right))
        case "accept" | "drop" | "continue" | "return", _:
            return Decide(Verdict(word))
        case "jump" | "goto", {"target": str(target)}:
            return Decide(Verdict(word), target)
        case "vmap", {"key": key, "data": data}:
            return DecideBy(expression(key), expression(data))
        case "mangle", {"key": key, "value": value}:
            return Change(expression(key), expression(value))
        case "reject", None | {}:
            return Reject(inner["type"] if inner and "type" in inner else "icmpx")
        case "notrack", _:
            return Notrack()
    return None


def _nat(word: str, inner: Any) -> Statement | None:
    if word not in ("dnat", "snat", "masquerade", "redirect"):
        return None
    given = inner or {}
    return Nat(
        word, str(given.get("family", "")),
        expression(given["addr"]) if "addr" in given else None,
        expression(given["port"]) if "port" in given else None,
    )  # fmt: skip


def _unknown(word: str, inner: Any) -> Statement:
    """Of iptables' extensions nft prints no arguments: a match may miss, a target do anything."""
    is_match = word == "xt" and isinstance(inner, Mapping) and inner.get("type") == "match"
    return Unmodelled(text({word: inner}), may_accept=not is_match)


def verdict_of(data: Any) -> Decide | None:
    """The verdict that an element of a verdict map has; None when it is none."""
    found = _statement(*next(iter(data.items()))) if isinstance(data, Mapping) and data else None
    return found if isinstance(found, Decide) else None

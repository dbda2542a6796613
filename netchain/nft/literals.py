"""Typed values to nft literals: no bare string ever reaches nft text.

nft reads a malformed address as a host name and resolves it, and a stray `;` ends a statement; so
every value is of a type that was checked when it was made, and is formatted here from that type
alone. Anything else is a TypeError, a value out of range a ValueError.
"""

from __future__ import annotations

import re
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Self

IFNAME_ACCEPTED = "1 to 15 of letters, digits, `_`, `-` and `.`, the first a letter or `_`"
_IFNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,14}", re.ASCII)  # IFNAMSIZ is 16 with the NUL


class Protocol(IntEnum):
    """IP protocols that a rule can hold, by number: names need /etc/protocols (IANA's numbers)."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMP6 = 58


class IfName(str):
    """The name of an interface; `parse` raises ValueError with what is accepted."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        if not isinstance(text, str) or not _IFNAME.fullmatch(text):
            raise ValueError(f"not an interface name; accepted: {IFNAME_ACCEPTED}")
        return cls(text)


class _Bounded(int):
    """A number from `lowest` to `highest`; ValueError outside, TypeError for what is no int."""

    __slots__ = ()
    lowest, highest = 0, 0xFFFF_FFFF

    def __new__(cls, value: int) -> Self:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{cls.__name__} needs an int, not {type(value).__name__}")
        if not cls.lowest <= value <= cls.highest:
            raise ValueError(f"{cls.__name__} is {cls.lowest} to {cls.highest}, not {value}")
        return super().__new__(cls, value)


class Port(_Bounded):
    """A port of TCP or UDP."""

    __slots__ = ()
    lowest, highest = 1, 0xFFFF


class Mark(_Bounded):
    """A packet mark (SO_MARK); 0 is every unmarked packet's and so names nothing."""

    __slots__ = ()
    lowest = 1


class Uid(_Bounded):
    """A user id as the qube's own user namespace sees it; the highest number means "none"."""

    __slots__ = ()
    highest = 0xFFFF_FFFE


_KINDS = frozenset({IPv4Address, IPv6Address, Port, Mark, Uid, IfName, Protocol})
Value = IPv4Address | IPv6Address | Port | Mark | Uid | IfName | Protocol


def literal(value: Value) -> str:
    """The value as nft writes it.

    Raises TypeError for any other type (also for a subclass, which could print anything) and
    ValueError for an address with a zone (`fe80::1%eth0`) or a name made past its check.
    """
    if type(value) not in _KINDS:
        raise TypeError(f"{type(value).__name__} is no type of value that a rule can hold")
    match value:
        case IPv6Address(scope_id=str()):
            raise ValueError(f"{value}: an address with a zone cannot be in a rule")
        case IPv4Address() | IPv6Address():
            return str(value)
        case IfName():
            return f'"{IfName.parse(str(value))}"'
        case _:
            return str(int(value))


def element(values: tuple[Value, ...]) -> str:
    """One element of a set; several values make a concatenation. ValueError when there is none."""
    if not values:
        raise ValueError("an element of a set needs a value")
    return " . ".join(literal(value) for value in values)

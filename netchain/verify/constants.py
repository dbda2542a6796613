"""The numbers that constants in rules are, by the type of what they are compared with."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from netchain.nft import expressions as nft
from netchain.nft.symbols import SYMBOLS


class NotModelledError(Exception):
    """Said of a part of an expression; the whole of it may match or not."""


def type_of(value: nft.Expression) -> str:
    """The type of a map's data, from how it is written: addresses are text, ports numbers."""
    if isinstance(value, str):
        return f"ipv{_address(value).version}_addr"
    if isinstance(value, int):
        return "integer"
    raise NotModelledError


@lru_cache(maxsize=1 << 16)
def number(kind: str, value: nft.Expression) -> int:
    """The number that a constant of that type is. NotModelledError for a name without one."""
    match value:
        case int():
            return int(value)
        case str() if kind in ("ipv4_addr", "ipv6_addr"):
            return int(_address(value))
        case str() if value in SYMBOLS.get(kind, {}):
            return SYMBOLS[kind][value]
        case str() if value.isdecimal():
            return int(value)
        case nft.Flags(names):
            return _combined(kind, names)
        case nft.Combined("|", left, right):
            return _combined(kind, (left, right))
    raise NotModelledError


def _combined(kind: str, values: tuple[nft.Expression, ...]) -> int:
    found = 0
    for value in values:
        found |= number(kind, value)
    return found


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise NotModelledError from error

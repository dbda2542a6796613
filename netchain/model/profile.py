"""A profile (TOML) becomes a Chain, or every problem in it at once.

Our own small reader rather than a structuring library: a person who mends a profile must see all
of its problems in one go, also those of the chain as a whole when single keys are bad, and each
with its key path, the bad value and what is accepted (docs/decisions/0002-own-profile-reader.md).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
)
from typing import Any, TypeVar

from netchain.errors import Exit, NetchainError, Problem
from netchain.model import invariants
from netchain.model.chain import Chain, Lan, Qube, Role, Vpn
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName

SCHEMA = 1
BACKENDS = ("netns",)
UPLINKS = ("lab", "pasta", "host", "nic:NAME")
_NIC = re.compile(r"nic:[A-Za-z_][A-Za-z0-9_.-]{0,14}", re.ASCII)  # IFNAMSIZ is 16 with the NUL
_TOP_KEYS = ("schema", "name", "backend", "uplink", "lan", "allow_discouraged", "qube")
_LAN_KEYS = ("address", "gateway", "address6", "gateway6")
_QUBE_KEYS = ("name", "role", "netvm", "label", "vpn")
_MAX_QUBES = 500

_E = TypeVar("_E", bound=StrEnum)


def parse(text: str, source: str) -> Chain:
    """The chain that a profile describes.

    Raises NetchainError with all problems (exit 2; 4 when the order of VPN and Tor is the
    discouraged one and the profile does not say that it means it).
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and nesting past Python's limits
        raise NetchainError(
            Problem("E010", f"this is not TOML: {error}", source), Exit.USAGE
        ) from error
    reader = _Reader()
    chain = reader.chain(data)
    found = reader.problems
    if chain is not None:
        every = _unwired(chain) + invariants.problems(chain)
        found = found + [p for p in every if p.where not in reader.unsure]
    if found:
        refused = any(p.code == "E019" for p in found)
        located = [_located(problem, source) for problem in found]
        raise NetchainError(located, Exit.REFUSED if refused else Exit.USAGE)
    assert chain is not None
    return chain


def _unwired(chain: Chain) -> list[Problem]:
    """A netvm that is forgotten is no netvm that is taken away."""
    return [
        Problem(
            "E015", "this qube has no netvm", f"qube[{index}].netvm",
            accepted=invariants.accepted_netvms(chain, qube),
        )
        for index, qube in enumerate(chain.qubes)
        if qube.netvm is None and qube.role is not Role.NET
    ]  # fmt: skip


def _located(problem: Problem, source: str) -> Problem:
    return Problem(
        problem.code, problem.title, f"{source}: {problem.where}", problem.value,
        problem.accepted, problem.help,
    )  # fmt: skip


def _shown(value: Any) -> str:
    """The value as it may be printed: escaped and short, whatever it is."""
    try:
        return repr(value)[:80]
    except (ValueError, RecursionError):  # a number or a nesting past Python's limits
        return f"a {type(value).__name__} that is too long to print"


class _Reader:
    """Reads one profile; every problem is kept, reading goes on with what is good."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.unsure: set[str] = set()  # key paths of which nothing more can be said

    def bad(self, code: str, title: str, where: str, value: Any, accepted: str) -> None:
        shown = "" if value is None else _shown(value)
        self.problems.append(Problem(code, title, where, shown, accepted))
        self.unsure.add(where)

    def chain(self, data: Mapping[str, Any]) -> Chain | None:
        self._unknown(data, _TOP_KEYS, "")
        if type(data.get("schema")) is not int or data["schema"] != SCHEMA:
            self.bad("E011", "unknown schema", "schema", data.get("schema"), str(SCHEMA))
        name = self._name(ChainName, data.get("name"), "name")
        backend = self._choice(data.get("backend", "netns"), BACKENDS, "backend")
        uplink = self._uplink(data.get("uplink", "lab"))
        lan = self._lan(data.get("lan"), uplink)
        discouraged = self._bool(data.get("allow_discouraged", False), "allow_discouraged")
        qubes = self._qubes(data.get("qube"))
        if not qubes:
            return None
        return Chain(
            name or ChainName("unnamed"), qubes, backend, uplink, lan=lan,
            allow_discouraged=discouraged,
        )  # fmt: skip

    def _uplink(self, value: Any) -> str:
        if isinstance(value, str) and value != UPLINKS[-1] and _NIC.fullmatch(value):
            return value
        if value not in UPLINKS[:-1]:
            self.bad("E011", "this value is not accepted", "uplink", value, ", ".join(UPLINKS))
        return str(value)

    def _lan(self, data: Any, uplink: str) -> Lan | None:
        """What a NIC is given; there is no DHCP client (docs/decisions/0006-real-uplinks.md)."""
        if not uplink.startswith("nic:"):
            if data is not None:
                self.bad("E011", "only a NIC is given addresses", "lan", data, "no such key")
            return None
        if not isinstance(data, dict):
            accepted = '{ address = "192.0.2.7/24", gateway = "192.0.2.1" }'
            self.bad("E011", "the NIC's addresses are missing", "lan", data, accepted)
            return None
        self._unknown(data, _LAN_KEYS, "lan.")
        address4 = self._ip(IPv4Interface, data, "address", "192.0.2.7/24")
        gateway4 = self._ip(IPv4Address, data, "gateway", "192.0.2.1")
        if "address6" not in data and "gateway6" not in data:
            return Lan(address4, gateway4) if address4 and gateway4 else None
        address6 = self._ip(IPv6Interface, data, "address6", "2001:db8::7/64")
        gateway6 = self._ip(IPv6Address, data, "gateway6", "2001:db8::1, without a zone")
        if not (address4 and gateway4 and address6 and gateway6):
            return None
        return Lan(address4, gateway4, address6, gateway6)

    def _ip(self, kind: type[_A], data: Mapping[str, Any], key: str, example: str) -> _A | None:
        value = data.get(key)
        try:
            if not isinstance(value, str) or "%" in value:
                raise ValueError
            return kind(value)
        except ValueError:
            title = "the address is missing" if value is None else "this is not such an address"
            self.bad("E011", title, f"lan.{key}", value, f"as {example}")
            return None

    def _qubes(self, data: Any) -> tuple[Qube, ...]:
        if not isinstance(data, list) or not data or len(data) > _MAX_QUBES:
            accepted = f"1 to {_MAX_QUBES} [[qube]] tables"
            self.bad("E011", "a profile lists its qubes", "qube", data, accepted)
            return ()
        return tuple(self._qube(item, f"qube[{i}]", i) for i, item in enumerate(data))

    def _qube(self, data: Any, where: str, index: int) -> Qube:
        if not isinstance(data, dict):
            self.bad("E011", "not a table", where, data, "a [[qube]] table")
            data = {}
        self._unknown(data, _QUBE_KEYS, f"{where}.")
        name = self._name(QubeName, data.get("name"), f"{where}.name")
        role = self._enum(Role, data.get("role"), f"{where}.role")
        label = self._enum(Label, data.get("label"), f"{where}.label")
        netvm = None
        if "netvm" in data:
            netvm = self._name(QubeName, data["netvm"], f"{where}.netvm")
        if role is None:  # what a qube of unknown role may be wired to is unknown, too
            self.unsure |= {f"{where}.netvm", f"{where}.vpn"}
        return Qube(
            name or QubeName(f"qube[{index}]"),  # no name that a qube could have
            role or Role.WORKSTATION,
            label or Label.RED,
            netvm,
            self._vpn(data.get("vpn"), f"{where}.vpn"),
        )

    def _vpn(self, data: Any, where: str) -> Vpn | None:
        if data is None:
            return None
        accepted = '{ config = "lab:provider-a" } or { config = "secrets/NAME.toml" }'
        if not isinstance(data, dict) or not isinstance(data.get("config"), str):
            self.bad("E020", "not a VPN configuration", where, data, accepted)
            return None
        self._unknown(data, ("config",), f"{where}.")
        return Vpn(data["config"])

    def _unknown(self, data: Mapping[str, Any], accepted: Iterable[str], prefix: str) -> None:
        for key in data:
            if key not in accepted:
                close = get_close_matches(key, list(accepted), n=1)
                hint = f"did you mean {close[0]}?" if close else ""
                self.problems.append(
                    Problem(
                        "E012", "unknown key", f"{prefix}{_shown(key)[1:-1]}", _shown(key),
                        ", ".join(accepted), hint,
                    )
                )  # fmt: skip

    def _name(self, kind: type[_N], value: Any, where: str) -> _N | None:
        try:
            return kind.parse(value)
        except ValueError as error:
            title = "the name is missing" if value is None else "this is not a name"
            self.bad("E011", title, where, value, str(error))
            return None

    def _enum(self, kind: type[_E], value: Any, where: str) -> _E | None:
        choice = self._choice(value, [member.value for member in kind], where)
        return kind(choice) if choice in {member.value for member in kind} else None

    def _choice(self, value: Any, accepted: Iterable[str], where: str) -> str:
        if value not in accepted:
            title = "this key is missing" if value is None else "this value is not accepted"
            self.bad("E011", title, where, value, ", ".join(accepted))
        return str(value)

    def _bool(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            self.bad("E011", "this value is not accepted", where, value, "true or false")
        return value is True


_N = TypeVar("_N", ChainName, QubeName)
_A = TypeVar("_A", IPv4Interface, IPv4Address, IPv6Interface, IPv6Address)

"""What was switched: netvms that a person gave to qubes, kept beside the profile as Qubes does it.

A profile says how a chain begins; a switch outlives `down`. A file for each chain in the state
directory, 0600. That a workstation of a Tor chain was ever without Tor is never forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from netchain import files, paths
from netchain.errors import Exit, NetchainError, Problem
from netchain.model import invariants
from netchain.model.chain import Chain
from netchain.model.names import ChainName, QubeName

NONE = "none"
_SCHEMA = 1


@dataclass(frozen=True)
class Given:
    """A netvm that a qube was given (None: no network), when, and whether without Tor is meant."""

    netvm: QubeName | None
    since: str
    clearnet: bool = False


@dataclass(frozen=True)
class Switched:
    """All that was switched in a chain; `clearnet` tells since when a qube is not to be trusted
    to have used Tor alone."""

    netvms: Mapping[QubeName, Given] = field(default_factory=dict)
    clearnet: Mapping[QubeName, str] = field(default_factory=dict)

    def give(self, profile: Chain, name: QubeName, given: Given) -> Switched:
        """With this netvm given, too; what the profile says itself is nothing to remember."""
        netvms = {qube: kept for qube, kept in self.netvms.items() if qube != name}
        if given.netvm != profile[name].netvm or given.clearnet:
            netvms[name] = given
        clearnet = {name: given.since, **self.clearnet} if given.clearnet else self.clearnet
        return Switched(netvms, clearnet)

    def over(self, profile: Chain) -> Chain:
        """The chain as it is switched; qubes that the profile has no more are passed over."""
        chain = profile
        names = {qube.name for qube in profile.qubes}
        for name, given in self.netvms.items():
            if name in names:
                chain = chain.with_netvm(name, given.netvm, clearnet=given.clearnet)
        return chain


def now() -> str:
    """This minute, as it is kept."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")


def load(name: ChainName) -> Switched:
    """What was switched in that chain; nothing when there is no file.

    NetchainError (exit 2) for one that cannot be read: the chain would not be what it says.
    """
    path = _path(name)
    if not path.exists():
        return Switched()
    try:
        data = json.loads(files.read(path).text)
        if data["schema"] != _SCHEMA:
            raise ValueError(f"schema {data['schema']!r}")
        netvms = {QubeName.parse(qube): _given(kept) for qube, kept in data["netvms"].items()}
        clearnet = {QubeName.parse(qube): str(since) for qube, since in data["clearnet"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        title = f"what was switched cannot be read: {error}"
        hint = "with that file gone the chain is as its profile says"
        raise NetchainError(Problem("E106", title, str(path), help=hint), Exit.USAGE) from error
    return Switched(netvms, clearnet)


def _given(kept: Any) -> Given:
    netvm = None if kept["netvm"] == NONE else QubeName.parse(kept["netvm"])
    return Given(netvm, str(kept["since"]), kept["clearnet"] is True)


def save(name: ChainName, switched: Switched) -> None:
    """Keep it, whole or not at all. OSError when it cannot be written."""
    netvms = {
        qube: {"netvm": given.netvm or NONE, "since": given.since, "clearnet": given.clearnet}
        for qube, given in switched.netvms.items()
    }
    data = {"schema": _SCHEMA, "netvms": netvms, "clearnet": dict(switched.clearnet)}
    _path(name).parent.mkdir(mode=0o700, exist_ok=True)
    files.write_private(_path(name), json.dumps(data, indent=2).encode() + b"\n")


def overlaid(profile: Chain) -> Chain:
    """The chain as it is switched.

    NetchainError (exit 2) when the profile has changed so that this is no chain any more.
    """
    switched = load(profile.name)
    chain = switched.over(profile)
    found = [problem for problem in invariants.problems(chain) if switched.netvms]
    if not found:
        return chain
    ways = [
        f"netchain netvm {profile.name}:{name} {profile[name].netvm or NONE}"
        for name in switched.netvms
        if any(qube.name == name for qube in profile.qubes)
    ]
    located = [replace(p, where=f"switched, {p.where}", help=" or ".join(ways)) for p in found]
    raise NetchainError(located, Exit.USAGE)


def _path(name: ChainName) -> Path:
    return paths.state_dir() / "switched" / f"{name}.json"

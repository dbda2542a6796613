"""Compares the network that a node has (network_dump.py) with what it was wired as (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netchain.backends.base import Tunnel
from netchain.backends.netns import wiring
from netchain.backends.netns.wiring import Change
from netchain.model.addressing import UPLINK
from netchain.model.chain import Chain, Qube

Fact = tuple[tuple[str, str], ...]
Network = Mapping[str, frozenset[Fact]]
"""All that a node has, by interface ("" for none)."""
NOTHING: Network = {}


def network(changes: Iterable[Change]) -> Network:
    """What a dump tells, so that the end of one link can be found among many."""
    found: dict[str, set[Fact]] = {}
    for change in changes:
        fact = _fact(change)
        found.setdefault(dict(fact).get("dev", ""), set()).add(fact)
    return {device: frozenset(facts) for device, facts in found.items()}


def as_the_only(uplink: str, has: Network) -> Network:
    """The same as if the uplink in use had the name that a first one has."""
    if uplink == UPLINK or uplink not in has:
        return has
    renamed = (tuple((k, UPLINK if k == "dev" else v) for k, v in fact) for fact in has[uplink])
    return {**has, UPLINK: frozenset(renamed)}


def differs(chain: Chain, qube: Qube, own: Network, netvm: Network | None) -> list[str]:
    """What is otherwise at the two ends of a qube's link than it was wired, as words.

    `own` and `netvm` are all that is there in the two qubes; None for the router of an uplink,
    which is not looked at.
    """
    wanted = wiring.wires(chain, qube)
    found = _compared(wanted.client_end, own, UPLINK, "")
    if netvm is not None:
        found += _compared(wanted.netvm_end, netvm, wanted.interface)
    return found


def tunnel_differs(spec: Tunnel, own: Network) -> list[str]:
    """What is otherwise at a VPN's inner interface than it was made, as words."""
    return _compared(wiring.tunnel(spec), own, spec.name)


def _compared(want: Iterable[Change], have: Network, *devices: str) -> list[str]:
    missing, extra = compared(want, have, *devices)
    found = [f"missing: {_words(fact)}" for fact in missing]
    return found + [f"not ours: {_words(fact)}" for fact in extra]


def compared(want: Iterable[Change], have: Network, *devices: str) -> tuple[list[Fact], list[Fact]]:
    """What is missing, and what is not ours; of what is there only that of these interfaces counts
    ("" for none)."""
    expected = {_fact(change) for change in want}
    there = {fact for device in devices for fact in have.get(device, ())}
    return sorted(expected - there), sorted(there - expected)


def _fact(change: Change) -> Fact:
    """A change in one form: IPv6 routes get metric 1024 where none is given, and `unreachable`
    ones the loopback interface. Labels and MTUs do not count."""
    known = {key: str(value) for key, value in change.items() if key not in ("alias", "mtu")}
    if known["do"] == "route":
        if known.get("kind"):
            known.pop("dev", None)
        if ":" in known["to"] and known.get("metric") == "1024":
            del known["metric"]
    return tuple(sorted(known.items()))


def _words(fact: Fact) -> str:
    return " ".join(value for _, value in fact)

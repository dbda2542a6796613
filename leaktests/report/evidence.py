"""Leaked packets put together: one piece of evidence for each probe, link and direction (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from leaktests.engine.outcome import Run
from leaktests.engine.sweep import Found
from leaktests.report import rules as rule_files
from leaktests.report.facts import Cause, Evidence, Packet
from leaktests.report.rules import Rules
from netchain.model.allowed import tunnels
from netchain.wire.flow import Flow
from netchain.wire.judge import Leak, describe, kind_of

KEPT = 10
"""How many packets of each piece are kept whole."""
_NOBODY = "packets that no probe sent"
_DNS, _IPV6 = 53, 0x86DD


@dataclass(frozen=True)
class _Where:
    """A sweep (with its state) or a trial (with its id and name)."""

    state: str = ""
    trial: str = ""
    name: str = ""


def of(run: Run, rules: Rules) -> tuple[Evidence, ...]:
    """Everything that leaked, in the order of the run."""
    pieces: list[Evidence] = []
    for where, found in _parts(run):
        made = [_piece(run, rules, where, group) for group in _groups(found)]
        pieces += sorted(made, key=lambda piece: piece.first_ms)
    return tuple(replace(piece, id=f"leak-{n}") for n, piece in enumerate(pieces, 1))


def _parts(run: Run) -> Iterator[tuple[_Where, tuple[Found, ...]]]:
    for sweep in run.sweeps:
        yield _Where(state=sweep.state), sweep.found
    for trial in run.trials:
        yield _Where(trial=trial.id, name=trial.name), trial.found


def _groups(found: Iterable[Found]) -> list[list[Found]]:
    """By probe, link and direction; what no probe sent by its kind, too. Each in order of time."""
    groups: dict[tuple[object, ...], list[Found]] = {}
    for one in sorted(found, key=lambda f: f.leak.time_ns):
        sender = one.shot.probe.id if one.shot else _kind(one.leak.flow)
        key = (one.shot is None, sender, one.leak.link, one.leak.direction)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _kind(flow: Flow) -> str:
    return f"{kind_of(flow)} {flow.ethertype} {flow.protocol} {flow.problem}"


def _piece(run: Run, rules: Rules, where: _Where, group: list[Found]) -> Evidence:
    first, shot = group[0].leak, group[0].shot
    cause = rule_files.cause(run.chain, first, rules)
    name = shot.probe.name if shot else _NOBODY
    return Evidence(
        id="",
        probe=shot.probe.id if shot else "",
        trial=where.trial,
        state=where.state,
        name=where.name or name,
        link=first.link,
        direction=first.direction.value,
        time=_time(first.time_ns),
        what=describe(first.flow),
        count=len(group),
        first_ms=_ms(run, first),
        last_ms=_ms(run, group[-1].leak),
        cause=cause,
        fix=_fix(first.flow, cause),
        packets=tuple(Packet(one.leak.time_ns, one.leak.frame) for one in group[:KEPT]),
        without_ethernet=first.link in {link.name for link in tunnels(run.chain)},
    )


def _ms(run: Run, leak: Leak) -> float:
    return round((leak.time_ns - round(run.started * 1e9)) / 1e6, 3)


def _time(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"


def _fix(flow: Flow, cause: Cause) -> str:
    """Where to look first."""
    look = (
        f"Read {cause.file} from its chain `{cause.chain}` on: some accept before line {cause.line}"
        f" took this packet, or the table was not loaded in {cause.qube}. The counters of"
        " `nft list table inet netchain` there tell which rule it was."
    )
    return f"{_hint(flow)} {look}".lstrip()


def _hint(flow: Flow) -> str:
    if flow.problem is not None or flow.fragment or flow.more_fragments or flow.options:
        return "The chain `plain` must drop what has options, is a fragment or cannot be read."
    if flow.dport == _DNS:
        return "Names are asked outside: DNS must be redirected or dropped, IPv4 and IPv6."
    if flow.inner is not None:
        return "An answer or an error that quotes another packet: look at `ct state related`."
    if flow.ethertype == _IPV6:
        return "IPv6 needs each rule that IPv4 has."
    return ""

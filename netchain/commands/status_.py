"""netchain status: what a chain is doing now, read from the kernel."""

from __future__ import annotations

from typing import Any

import click

from netchain import apply, switched
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit
from netchain.model import addressing
from netchain.model.chain import Chain, Qube, Role
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import DesiredQube, peer
from netchain.readiness import progress
from netchain.site import Site
from netchain.switched import NONE, Switched

_APART = "apart"
"""A qube that reaches no uplink, as it was switched: it is closed, and that is as it should be."""


@click.command("status")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.output_options
def command(chain: str, as_json: bool, quiet: bool) -> int:
    """Show every qube of CHAIN: address, state, netvm, and what differs from the profile."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    with common.site(found, console) as (resolved, site):
        wanted = apply.desired(resolved, site)
        observed = site.backend.observe(resolved)
        qubes = [
            _qube(resolved, site, qube, wanted[qube.name], observed.qubes.get(qube.name))
            for qube in reversed(resolved.from_uplink())
        ]
    is_up = all(qube["state"] in ("ready", _APART) for qube in qubes) and not site.trouble
    verdict = "up" if is_up else _verdict(resolved, observed)
    kept = switched.load(resolved.name)
    notes = _notes(found.profile, kept)
    told = [site.trouble, f"Next: netchain up {chain}"] if site.trouble else []
    text = "\n".join([_text(resolved, verdict, qubes), *notes, *told])
    data = {"clearnet": dict(kept.clearnet), "notes": notes, "trouble": site.trouble}
    console.result(text, {**_data(resolved, verdict, qubes), **data})
    return Exit.DONE if is_up else Exit.NOT_READY


def _notes(profile: Chain, kept: Switched) -> list[str]:
    """What was switched, and what is never to be forgotten."""
    notes = []
    for name, given in kept.netvms.items():
        if name in {qube.name for qube in profile.qubes}:
            was = profile[name].netvm or NONE
            notes.append(
                f"switched  {name} → {given.netvm or NONE} since {given.since} (profile: {was})"
            )
    for name, since in kept.clearnet.items():
        is_now = name in kept.netvms and kept.netvms[name].clearnet
        words = "goes without Tor" if is_now else "has been without Tor"
        notes.append(f"CLEARNET  {name} {words} since {since}: it is not anonymous")
    return notes


def _verdict(chain: Chain, observed: Observed) -> str:
    """Of a chain that is not up: closed only when no workstation of it is open."""
    if not observed.qubes:
        return "down"
    roles = {qube.name: qube.role for qube in chain.qubes}
    is_open = any(
        not have.blocked and roles.get(name, Role.WORKSTATION) is Role.WORKSTATION
        for name, have in observed.qubes.items()
    )
    return "degraded" if is_open else "closed"


def _data(chain: Chain, verdict: str, qubes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"chain": chain.name, "backend": chain.backend, "verdict": verdict, "qubes": qubes}


def _qube(
    chain: Chain, site: Site, qube: Qube, want: DesiredQube, have: ObservedQube | None
) -> dict[str, Any]:
    differs = _differences(qube, want, have)
    percent, detail = 100, ""
    if have is not None and not have.blocked and not differs and want.services:
        percent, detail = progress(chain, site.backend, qube)
    return {
        "name": qube.name,
        "role": qube.role,
        "label": qube.label,
        "netvm": qube.netvm,
        "address": str(addressing.address4(chain, qube.name)),
        "state": _state(
            have, degraded=bool(differs) or percent < 100, apart=not chain.is_connected(qube.name)
        ),
        "detail": detail,
        "differs": differs,
    }


def _state(have: ObservedQube | None, *, degraded: bool, apart: bool) -> str:
    if have is None:
        return "missing"
    if have.blocked:
        return _APART if apart and not degraded else "blocked"
    return "degraded" if degraded else "ready"


def _differences(qube: Qube, want: DesiredQube, have: ObservedQube | None) -> list[str]:
    if have is None:
        return []
    found = []
    if have.role != qube.role:
        found.append(f"made as a {have.role}")
    if have.rules != want.rules:
        found.append("rules are not those of the profile")
    if have.link != peer(qube):
        found.append(f"wired to {have.link or 'nothing'}, not {peer(qube)}")
    elif have.wiring != want.wiring:
        found.append("addresses and routes are not those of the profile")
    found += [f"{name} is not running" for name in want.services if not have.services.get(name)]
    found += [
        f"{name} runs with another configuration"
        for name, version in have.services.items()
        if version and want.services.get(name, "") != version
    ]
    return found


def _text(chain: Chain, verdict: str, qubes: list[dict[str, Any]]) -> str:
    lines = [f"chain {chain.name}   {chain.backend}   {verdict}"]
    for q in qubes:
        words = "; ".join(q["differs"]) or q["detail"]
        netvm = q["netvm"] or ("internet" if q["role"] == Role.NET else NONE)
        lines.append(
            f"▌{q['name']:<14.14} {q['role']:<12} {q['address']:<13} {q['state']:<9}"
            f" → {netvm:<13} {words}".rstrip()
        )
    return "\n".join(lines)

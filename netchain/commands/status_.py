"""netchain status: what a chain is doing now, read from the kernel."""

from __future__ import annotations

from importlib import import_module
from threading import Thread

import click

from netchain import state, switched, wanted
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit
from netchain.model.chain import Chain
from netchain.readiness import progress
from netchain.switched import NONE, Switched


@click.command("status")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.output_options
def command(chain: str, as_json: bool, quiet: bool) -> int:
    """Show every qube of CHAIN: address, state, netvm, and what differs from the profile."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    # stem takes 90 ms to import; it is needed when the backend has been read, which takes longer.
    Thread(target=import_module, args=["netchain.tor.control"], daemon=True).start()
    with common.site(found, console) as (resolved, site):
        now = state.look(
            resolved, site, *wanted.compared(resolved, site),
            lambda qube: progress(resolved, site.backend, qube),
        )  # fmt: skip
    kept = switched.load(resolved.name)
    notes = _notes(found.profile, kept)
    told = [site.trouble, f"Next: netchain up {chain}"] if site.trouble else []
    data = {"clearnet": dict(kept.clearnet), "notes": notes, "trouble": site.trouble}
    console.result("\n".join([now.text, *notes, *told]), {**now.data, **data})
    return Exit.DONE if now.verdict == "up" else Exit.NOT_READY


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

"""netchain up: plan, check, apply, read back, prove, open."""

from __future__ import annotations

import click

from netchain import apply
from netchain.commands import common
from netchain.console import Console
from netchain.model.chain import Chain
from netchain.model.plan import render


@click.command("up")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to become ready.")
@common.output_options
def command(chain: str, dry_run: bool, timeout: float, as_json: bool, quiet: bool) -> None:
    """Bring CHAIN up (a profile's name or file); again: mend what differs."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    with common.lock(found.chain), common.site(found, console.say) as (resolved, site):
        site.timeout = timeout
        if dry_run:
            steps = apply.plan(resolved, site)
            text = render(steps) + "Nothing was changed."
        else:
            steps = apply.up(resolved, site)
            text = f"{resolved.name} is up: {path(resolved)}\nNext: netchain status {resolved.name}"
    data = {"chain": resolved.name, "verdict": "done", "steps": [str(step) for step in steps]}
    console.result(text, {**data, "dry_run": dry_run})


def path(chain: Chain) -> str:
    """The chain as a line, the workstation first."""
    last = chain.from_uplink()[-1]
    return " ▸ ".join([last.name, *(q.name for q in chain.upstream(last.name))])

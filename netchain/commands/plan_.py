"""netchain plan: what `up` would change."""

from __future__ import annotations

import click

from netchain import apply
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit
from netchain.model.plan import render


@click.command("plan")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option("--exit-code", is_flag=True, help="Exit 20 when something would change.")
@common.output_options
def command(chain: str, exit_code: bool, as_json: bool, quiet: bool) -> int:
    """Show the steps from what is there to CHAIN; changes nothing."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    with common.site(found, console, purpose=common.Purpose.PLAN) as (resolved, site):
        steps = apply.plan(resolved, site)
    data = {"chain": resolved.name, "steps": [str(step) for step in steps]}
    console.result(render(steps), data)
    return Exit.DRIFT if exit_code and steps else Exit.DONE

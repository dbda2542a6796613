"""netchain down: every qube closed, then gone."""

from __future__ import annotations

import click

from netchain import apply
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError


@click.command("down")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.verbose_option
@common.output_options
def command(chain: str, verbose: int, as_json: bool, quiet: bool) -> None:
    """Remove CHAIN with its links, programs and rules; fine when it is not up."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    count = 0
    try:
        with common.lock(found.chain), common.site(found, console, verbose) as (resolved, site):
            count = len(apply.down(resolved, site))
    except NetchainError as error:
        if error.exit_code is not Exit.NOT_READY:
            raise
    words = "is down" if count else "was not up"
    console.result(f"{found.chain.name} {words}", {"chain": found.chain.name, "verdict": "done"})

"""netchain up: plan, check, apply, read back, prove, open."""

from __future__ import annotations

import sys

import click

from netchain import apply
from netchain.commands import common
from netchain.console import Console
from netchain.errors import NOTHING_CHANGED, NetchainError, Problem
from netchain.model.chain import Chain
from netchain.model.plan import Plan, render, takes_away


@click.command("up")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something that runs is changed.")
@click.option("--wait", is_flag=True, help="Wait while another command changes CHAIN.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to become ready.")
@common.verbose_option
@common.output_options
def command(
    chain: str, dry_run: bool, yes: bool, wait: bool, timeout: float, verbose: int, as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Bring CHAIN up (a profile's name or file); again: mend what differs."""
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    locked = common.lock(found.chain, timeout if wait else 0)
    purpose = common.Purpose.PLAN if dry_run else common.Purpose.UP
    with locked, common.site(found, console, verbose, purpose) as (resolved, site):
        site.timeout = timeout
        if dry_run:
            steps = apply.plan(resolved, site)
            text = render(steps) + NOTHING_CHANGED
        else:
            if not yes and sys.stdin.isatty():
                _ask(apply.plan(resolved, site))
            steps = apply.up(resolved, site)
            text = f"{resolved.name} is up: {path(resolved)}\nNext: netchain status {resolved.name}"
    data = {"chain": resolved.name, "verdict": "done", "steps": [str(step) for step in steps]}
    console.result(text, {**data, "dry_run": dry_run})


def _ask(steps: Plan) -> None:
    """Go on only when nothing that runs is taken away, or the person says yes."""
    if takes_away(steps):
        click.echo(render(steps), err=True, nl=False)
        if not click.confirm("Programs that run lose their connections. Do it?", err=True):
            raise NetchainError(Problem("E003", "the answer was no"))


def path(chain: Chain) -> str:
    """The chain as a line, the workstation first."""
    last = chain.from_uplink()[-1]
    return " ▸ ".join([last.name, *(q.name for q in chain.upstream(last.name))])

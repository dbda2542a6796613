"""netchain ls: the chains that can be brought up, and which are."""

from __future__ import annotations

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import NetchainError
from netchain.lab.lab import Lab


@click.command("ls")
@common.output_options
def command(as_json: bool, quiet: bool) -> None:
    """List every profile, and whether its chain is up."""
    console = Console(as_json=as_json, quiet=quiet)
    running = _running()
    rows = []
    for name, path in common.profiles().items():
        try:
            chain = common.find(name).chain
            state = f"{running.get(chain.name, 0)} of {len(chain.qubes)} qubes"
            rows.append({"name": name, "path": str(path), "state": state, "problems": 0})
        except NetchainError as error:
            count = len(error.problems)
            rows.append({"name": name, "path": str(path), "state": "bad", "problems": count})
    text = "\n".join(f"{r['name']:<20} {r['state']:<14} {r['path']}" for r in rows)
    console.result(text, {"chains": rows})


def _running() -> dict[str, int]:
    """Running qubes by chain; empty when no site is up."""
    try:
        nodes = Lab.attach().keeper.ask("observe", prefix="")["nodes"]
    except NetchainError:
        return {}
    counts: dict[str, int] = {}
    for node in nodes:
        chain = node.partition(":")[0]
        counts[chain] = counts.get(chain, 0) + 1
    return counts

"""netchain lab: the private internet on this computer."""

from __future__ import annotations

import sys
import time

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem
from netchain.lab.lab import Lab, stop


@click.group("lab")
def command() -> None:
    """A small internet in namespaces: ISP, DNS, two VPN providers, a Tor network, a web site."""


@command.command("up")
@common.output_options
def up(as_json: bool, quiet: bool) -> None:
    """Start it; what runs already stays."""
    console = Console(as_json=as_json, quiet=quiet)
    start = time.monotonic()
    with common.lab_lock():
        lab = Lab.start(console.say)
    nodes = lab.nodes()
    seconds = round(time.monotonic() - start, 2)
    console.result(
        f"the lab is up: {len(nodes)} hosts ({seconds} s)\nNext: netchain up",
        {"nodes": sorted(nodes), "seconds": seconds, "verdict": "done"},
    )


@command.command("down")
@common.output_options
def down(as_json: bool, quiet: bool) -> None:
    """Stop it, and with it every chain in it."""
    console = Console(as_json=as_json, quiet=quiet)
    words = "the lab is down" if stop() else "the lab was not up"
    console.result(words, {"verdict": "done"})


@command.command("fault")
@click.argument("expression", required=False, metavar="[NAME]")
@click.argument("chain", default=common.DEFAULT_CHAIN)
def fault(expression: str | None, chain: str) -> None:
    """Break something in CHAIN or around it until Enter; without NAME, what there is.

    NAME: an id (V01) or words of the name, as for leaktest -k. It must mean one fault.
    """
    from leaktests.catalogue import faults
    from leaktests.engine import breaking, choose

    every = [f"{one.id} {one.name}" for one in faults()]
    if expression is None:
        print("\n".join(every))
        return
    try:
        found = choose.chosen(expression, faults(), lambda one: f"{one.id} {one.name}")
        if len(found) > 1:
            raise ValueError(f"{len(found)} faults are called so")
    except ValueError as error:
        problem = Problem("E059", str(error), value=repr(expression), help="netchain lab fault")
        raise NetchainError(problem, Exit.USAGE) from error
    known, console = common.find(chain), Console()
    with (
        common.lock(known.chain),
        common.site(known, console) as (resolved, site),
        breaking.broken(found[0], resolved, site),
    ):
        console.say(f"broken: {found[0].name}. Enter takes it back.")
        sys.stdin.readline()
    console.say(f"Taken back. Next: netchain up {resolved.name}, which mends what is left.")


@command.command("status")
@common.output_options
def status(as_json: bool, quiet: bool) -> None:
    """Show every host and its program."""
    console = Console(as_json=as_json, quiet=quiet)
    nodes = Lab.attach().nodes()
    rows = [
        f"{name:<16} " + ", ".join(f"{n} (started {s['starts']}×)" for n, s in services.items())
        for name, services in ((n, dict(node["services"])) for n, node in nodes.items())  # type: ignore[call-overload]
    ]
    console.result("\n".join(rows), {"nodes": nodes})

"""netchain lab: the private internet on this computer."""

from __future__ import annotations

import time

import click

from netchain.commands import common
from netchain.console import Console
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

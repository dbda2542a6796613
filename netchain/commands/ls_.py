"""netchain ls: the chains that can be brought up, and which are."""

from __future__ import annotations

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import NetchainError
from netchain.lab.lab import Lab
from netchain.model.chain import Chain
from netchain.model.names import number_of
from netchain.uplink.real import RealSite


@click.command("ls")
@common.output_options
def command(as_json: bool, quiet: bool) -> None:
    """List every profile, and whether its chain is up."""
    console = Console(as_json=as_json, quiet=quiet)
    in_lab = _running()
    rows = []
    for name, path in common.profiles().items():
        try:
            chain = common.find(name).chain
            names = in_lab.get(chain.name, []) if chain.is_lab else _own_site(chain)
            living = sum(bool(number_of(qube)) for qube in names)
            state = f"{len(names) - living} of {len(chain.qubes)} qubes"
            if living:
                state += f", {living} disposable{'s' if living > 1 else ''}"
            rows.append({"name": name, "path": str(path), "state": state, "problems": 0})
        except NetchainError as error:
            count = len(error.problems)
            rows.append({"name": name, "path": str(path), "state": "bad", "problems": count})
    text = "\n".join(f"{r['name']:<20} {r['state']:<14} {r['path']}" for r in rows)
    console.result(text, {"chains": rows})


def _own_site(chain: Chain) -> list[str]:
    """Running qubes of a chain on a real uplink."""
    try:
        nodes = RealSite.attach(chain).keeper.ask("observe", prefix=f"{chain.name}:")["nodes"]
        return [node.partition(":")[2] for node in nodes]
    except NetchainError:
        return []


def _running() -> dict[str, list[str]]:
    """Running qubes of the lab by chain; empty when it is not up."""
    try:
        nodes = Lab.attach().keeper.ask("observe", prefix="")["nodes"]
    except NetchainError:
        return {}
    found: dict[str, list[str]] = {}
    for node in nodes:
        chain, _, qube = node.partition(":")
        found.setdefault(chain, []).append(qube)
    return found

"""netchain disp: a fresh workstation that ends with its command."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import closing
from dataclasses import replace

import click

from netchain import apply
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.commands import common
from netchain.commands.exec_ import in_node
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Chain, Qube, Role
from netchain.model.disposable import free, name_of, plan_disposable, with_disposable
from netchain.model.names import QubeName
from netchain.site import Site


@click.command("disp", context_settings={"ignore_unknown_options": True})
@click.argument("target", metavar="CHAIN[:QUBE]", default=common.DEFAULT_CHAIN)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for others.")
def command(target: str, words: tuple[str, ...], timeout: float) -> int:
    """Run CMD (your shell) in a fresh qube below the netvm of CHAIN's workstation, or of QUBE.

    It has an address that none had before, a home in memory, and vanishes with CMD, however that
    ends; the chain goes on meanwhile. CMD's exit code is ours.
    """
    name, qube = common.split(target)
    found = common.find(name)
    template = _template(found.chain, qube)
    keeper = common.keeper(found.chain)
    backend = NetnsBackend(keeper, router="")  # it has to do with no uplink
    with closing(keeper):  # the disposable ends with this connection
        with (
            common.lock(found.chain, timeout),
            common.site(found, Console(quiet=True)) as (chain, site),
        ):
            disposable = _started(chain, replace(site, backend=backend), keeper, template)
        try:
            node = f"{found.chain.name}:{disposable}"
            shell = (os.environ.get("SHELL", "/bin/sh"),)
            return in_node(keeper, node, words or shell, home=backend.volume())
        finally:
            backend.remove(found.chain, disposable)


def _template(chain: Chain, name: str | None) -> Qube:
    """The workstation whose place it gets: the one that is named, or the chain's first. None that
    was allowed to go without Tor: nobody would be told so of a disposable."""
    workstations = chain.with_role(Role.WORKSTATION)
    every = [q for q in workstations if q.netvm is not None and not q.clearnet]
    found = next((qube for qube in every if name in (None, qube.name)), None)
    if found is None:
        accepted = ", ".join(qube.name for qube in every)
        title = "no workstation of that name goes by the profile's netvm"
        problem = Problem("E021", title, value=repr(name), accepted=accepted)
        raise NetchainError(problem, Exit.USAGE)
    return found


def _started(chain: Chain, site: Site, keeper: KeeperClient, template: Qube) -> QubeName:
    """A disposable that is proved and open. NetchainError (exit 3) when the chain is not up."""
    if apply.plan(chain, site):
        title = f"chain {chain.name} is not up, or differs from its profile"
        problem = Problem("E057", title, help=f"netchain up {chain.name}")
        raise NetchainError(problem, Exit.NOT_READY)
    known = keeper.ask("names", prefix=f"{chain.name}:")["names"]
    taken = {node.partition(":")[2] for node in known} | {q.name for q in chain.qubes}
    number = free(taken, secrets.choice)
    grown, name = with_disposable(chain, template, number), name_of(number)
    now = time.time_ns()
    site.timeline.change(now, now, apply.states_of(site.backend.observe(chain)))
    for step in plan_disposable(grown, name):  # if one fails, it ends with our connection
        apply.timed(grown, site, step)
    return name

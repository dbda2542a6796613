"""netchain down: every qube closed, then gone."""

from __future__ import annotations

import click

from netchain import apply
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError
from netchain.lab.lab import Lab
from netchain.prove import Sensor
from netchain.site import Site
from netchain.uplink import real
from netchain.uplink.real import RealSite


@click.command("down")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.verbose_option
@common.output_options
def command(chain: str, verbose: int, as_json: bool, quiet: bool) -> None:
    """Remove CHAIN with its links, programs and rules; fine when it is not up.

    Its name is enough: a profile that is broken or gone keeps nobody from it.
    """
    console = Console(as_json=as_json, quiet=quiet)
    named = common.named(chain)
    count = 0
    show = common.effects(console, verbose)
    for attach in (lambda: Lab.attach(show), lambda: RealSite.attach(named, show)):
        try:
            site = attach()
            with common.lock(named), Sensor(site.backend()) as sensor:
                count += len(apply.down(named, Site(sensor.backend, sensor, say=console.say)))
        except NetchainError as error:
            if error.exit_code is not Exit.NOT_READY:
                raise
    with common.lock(named):
        count += real.stop(named)
    if not count:
        common.find(chain)  # a name that nothing has, running or not, is a mistake
    words = "is down" if count else "was not up"
    console.result(f"{named.name} {words}", {"chain": named.name, "verdict": "done"})

"""netchain shell: a shell in a qube."""

from __future__ import annotations

import os

import click

from netchain.commands import common
from netchain.commands.exec_ import run


@click.command("shell")
@click.argument("target", metavar="CHAIN[:QUBE]", default=common.DEFAULT_CHAIN)
def command(target: str) -> int:
    """Open your shell in a qube (the workstation, unless QUBE is named)."""
    return run(target, (os.environ.get("SHELL", "/bin/sh"),))

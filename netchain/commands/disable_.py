"""netchain disable: take away what `enable` wrote."""

from __future__ import annotations

import os

import click

from netchain.commands import common
from netchain.commands.enable_ import files_of, refuse_others
from netchain.console import Console


@click.command("disable")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@common.output_options
def command(chain: str, as_json: bool, quiet: bool) -> None:
    """No longer bring CHAIN up at boot; fine when it is not enabled. What runs goes on.

    Its name is enough: a profile that is broken or gone keeps nobody from it.
    """
    console = Console(as_json=as_json, quiet=quiet)
    name = common.named(chain).name
    file, link = files_of(name)
    refuse_others(file)
    was_there = file.exists()
    if link.is_symlink() and link.readlink() == file:
        link.unlink()
        if not any(link.parent.iterdir()):
            link.parent.rmdir()
    file.unlink(missing_ok=True)
    words = f"{name} was not enabled"
    if was_there:
        user = "" if os.geteuid() == 0 else " --user"
        words = f"{file} is gone\nNext: systemctl{user} stop {file.name}, to end what runs"
    console.result(words, {"chain": name, "path": str(file), "verdict": "done"})

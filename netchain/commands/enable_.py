"""netchain enable: a systemd unit that brings a chain up at boot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from netchain import paths, unit
from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.names import ChainName
from netchain.uplink import real

_KEPT = ("NETCHAIN_STATE_DIR", "NETCHAIN_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")


@click.command("enable")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option("-n", "--dry-run", is_flag=True, help="Show the unit, write nothing.")
@common.output_options
def command(chain: str, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Have systemd bring CHAIN up at boot: closed, and open only when proved.

    As root a unit of the system, else one of yours.
    """
    console = Console(as_json=as_json, quiet=quiet)
    found = common.find(chain)
    real.require_real(found.chain)
    text = _text(chain, found)
    file, link = files_of(found.chain.name)
    data = {"chain": found.chain.name, "unit": text, "path": str(file), "dry_run": dry_run}
    if dry_run:
        console.result(f"# {file}\n{text}", data)
        return
    refuse_others(file)
    link.parent.mkdir(parents=True, exist_ok=True)
    _write(file, text)
    if not link.is_symlink():
        link.symlink_to(file)
    console.result(_next(file), {**data, "verdict": "done"})


def _text(argument: str, found: common.Found) -> str:
    is_path = "/" in argument or argument.endswith(".toml")
    profile = str(found.path.resolve()) if is_path else argument
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    is_root = os.geteuid() == 0
    try:
        return unit.text(found.chain.name, sys.executable, profile, kept, is_root=is_root)
    except ValueError as error:
        raise NetchainError(Problem("E058", str(error), repr(profile)), Exit.USAGE) from error


def _next(file: Path) -> str:
    user = "" if os.geteuid() == 0 else " --user"
    lines = [
        f"{file} is written",
        f"Next: systemctl{user} daemon-reload && systemctl{user} start {file.name}",
    ]
    if user:
        lines.append("At boot, not only when you log in: loginctl enable-linger")
    return "\n".join(lines)


def files_of(chain: ChainName) -> tuple[Path, Path]:
    """The unit's file, and the link that has it started at boot."""
    directory = paths.unit_dir()
    target = unit.wanted_by(is_root=os.geteuid() == 0)
    file = directory / unit.name(chain)
    return file, directory / f"{target}.wants" / file.name


def refuse_others(file: Path) -> None:
    """NetchainError (exit 4) when somebody else wrote a unit of that name."""
    if file.is_symlink() or (file.exists() and not unit.is_ours(file.read_text())):
        hint = "move it away, or change the chain's name"
        problem = Problem("E058", "this unit is not netchain's", str(file), help=hint)
        raise NetchainError(problem, Exit.REFUSED)


def _write(file: Path, text: str) -> None:
    """Whole or as it was before; for everybody to read, whatever the umask."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(file)

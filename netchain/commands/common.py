"""What several verbs share: finding a chain's profile, its lock, its site."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from netchain import paths
from netchain.errors import Exit, NetchainError, Problem
from netchain.lab.lab import Lab
from netchain.model import profile
from netchain.model.chain import Chain
from netchain.prove import Sensor
from netchain.resources import data_dir
from netchain.site import Site

DEFAULT_CHAIN = "vpn-before-tor"


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json and --quiet."""
    command = click.option("-q", "--quiet", is_flag=True, help="No progress.")(command)
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


@dataclass(frozen=True)
class Found:
    """A chain and the file that describes it."""

    chain: Chain
    path: Path


def profiles() -> dict[str, Path]:
    """Every profile by the name of its file: the user's, the system's, then the shipped ones."""
    found: dict[str, Path] = {}
    for directory in (*paths.profile_dirs(), data_dir() / "profiles"):
        for path in sorted(directory.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(name: str) -> Found:
    """The chain of that name, or in that file.

    Raises NetchainError: exit 2 when there is none, or with everything that is wrong with it.
    """
    path = Path(name) if "/" in name or name.endswith(".toml") else profiles().get(name)
    if path is None:
        known = ", ".join(profiles())
        raise NetchainError(
            Problem("E021", "no chain has this name", value=repr(name), accepted=known), Exit.USAGE
        )
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("E010", f"cannot read the profile: {error}", str(path))
        raise NetchainError(problem, Exit.USAGE) from error
    return Found(profile.parse(text, str(path)), path)


@contextmanager
def lock(chain: Chain) -> Iterator[None]:
    """One command at a time changes a chain; NetchainError says who holds it."""
    directory = paths.runtime_dir() / "locks"
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / f"{chain.name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            problem = Problem("E056", f"chain {chain.name} is being changed by process {holder}")
            raise NetchainError(problem) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def site(found: Found, say: Callable[[str], None]) -> Iterator[tuple[Chain, Site]]:
    """The chain with everything looked up, and the site that it is built in; taps are closed."""
    lab = Lab.attach()
    chain, vpns = lab.resolve(found.chain, found.path.parent)
    backend = lab.backend()
    with Sensor(backend) as sensor:
        yield chain, Site(backend, sensor, vpns, lab.tor_lines(), say=say)


def split(target: str) -> tuple[str, str | None]:
    """`CHAIN` or `CHAIN:QUBE`."""
    chain, _, qube = target.partition(":")
    return chain, qube or None

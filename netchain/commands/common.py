"""What several verbs share: finding a chain's profile, its lock, its site."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

import click

from netchain import files, locks, paths, switched
from netchain.backends.netns import shell
from netchain.backends.netns.client import KeeperClient, Show
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem
from netchain.lab.lab import Lab
from netchain.model import profile
from netchain.model.chain import Chain
from netchain.model.names import ChainName
from netchain.prove import Sensor
from netchain.resources import data_dir
from netchain.site import Site
from netchain.uplink import real
from netchain.uplink.real import RealSite

DEFAULT_CHAIN = "vpn-before-tor"


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json and --quiet."""
    command = click.option("-q", "--quiet", is_flag=True, help="No progress.")(command)
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)


@dataclass(frozen=True)
class Found:
    """A chain as it is switched, the one that its profile describes, and that file."""

    chain: Chain
    path: Path
    profile: Chain


def profiles() -> dict[str, Path]:
    """Every profile by the name of its file: the user's, the system's, then the shipped ones."""
    found: dict[str, Path] = {}
    for directory in (*paths.profile_dirs(), data_dir() / "profiles"):
        for path in sorted(directory.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(name: str) -> Found:
    """The chain of that name, or in that file, as it is switched.

    Raises NetchainError: exit 2 when there is none, or with everything that is wrong with it.
    """
    found = find_profile(name)
    return replace(found, chain=switched.overlaid(found.profile))


def find_profile(name: str) -> Found:
    """The same as its profile alone describes it."""
    path = Path(name) if "/" in name or name.endswith(".toml") else profiles().get(name)
    if path is None:
        known = ", ".join(profiles())
        raise NetchainError(
            Problem("E021", "no chain has this name", value=repr(name), accepted=known), Exit.USAGE
        )
    try:
        text = files.read(path).text
    except OSError as error:
        problem = Problem("E010", f"cannot read the profile: {error.strerror}", str(path))
        raise NetchainError(problem, Exit.USAGE) from error
    chain = profile.parse(text, str(path))
    return Found(chain, path, chain)


def holding(qube: str) -> list[Found]:
    """Every chain that has a qube of that name; profiles that cannot be read are passed over."""
    found = []
    for name in profiles():
        with suppress(NetchainError):
            found.append(find_profile(name))
    return [each for each in found if qube in {q.name for q in each.profile.qubes}]


def named(argument: str) -> Chain:
    """A chain by its name alone, without qubes: all that is needed to take one down.

    The profile's own `name` counts where there is a profile that can be read that far.
    """
    is_path = "/" in argument or argument.endswith(".toml")
    path = Path(argument) if is_path else profiles().get(argument)
    try:
        if path is not None:
            return Chain(ChainName.parse(tomllib.loads(files.read(path).text)["name"]), ())
    except (OSError, ValueError, KeyError, RecursionError):
        pass  # then the argument itself
    try:
        return Chain(ChainName.parse(argument), ())
    except ValueError:
        return find(argument).chain  # says what is wrong


def verbose_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """-v and -vv."""
    words = "Print each effect as a shell line before it is done; -vv with the rules."
    return click.option("-v", "--verbose", count=True, help=words)(command)


def effects(console: Console, verbose: int) -> Show:
    """Prints what the keeper is asked for as shell lines; what only repeats (a poll) once."""
    last: list[str] = []

    def show(do: str, arguments: Mapping[str, Any]) -> None:
        found = list(shell.lines(do, arguments, full=verbose > 1))
        if found and found != last:
            console.say("\n".join(found))
            last[:] = found

    if not verbose:
        return lambda _do, _arguments: None
    console.say(shell.PRELUDE)
    return show


def lock(chain: Chain, wait: float = 0) -> AbstractContextManager[None]:
    """One command at a time changes a chain: `wait` seconds for the other one to end.

    NetchainError says who holds it.
    """
    hint = "--wait waits until it is done"
    return locks.held(chain.name, f"chain {chain.name}", wait, hint)


def lab_lock() -> AbstractContextManager[None]:
    """One command at a time starts the lab, or stops what it has started."""
    return locks.held(":lab", "the lab", hint="try again when that is done")


class Purpose(Enum):
    """What a site is wanted for: a real one is started by `up`, and needed by what looks at it."""

    LOOK = auto()
    PLAN = auto()
    UP = auto()


@contextmanager
def site(
    found: Found, console: Console, verbose: int = 0, purpose: Purpose = Purpose.LOOK
) -> Iterator[tuple[Chain, Site]]:
    """The chain with everything looked up, and the site that it is built in; taps are closed."""
    show = effects(console, verbose)
    if not found.chain.is_lab:
        chain, vpns = real.resolve(found.chain, found.path.parent)
        with _real(chain, show, purpose) as there, Sensor(there.backend()) as sensor:
            trouble = there.trouble() if purpose is Purpose.LOOK else ""
            yield chain, Site(sensor.backend, sensor, vpns, trouble=trouble, say=console.say)
        return
    lab = Lab.attach(show)
    with closing(lab.keeper):
        chain, vpns = lab.resolve(found.chain, found.path.parent)
        backend, lines = lab.backend(), lab.tor_lines()
        with Sensor(backend) as sensor:
            yield chain, Site(backend, sensor, vpns, lines, is_lab=True, say=console.say)


@contextmanager
def _real(chain: Chain, show: Show, purpose: Purpose) -> Iterator[RealSite]:
    """The site of a chain on a real uplink; to plan one that is not up, a site that is nowhere."""
    if purpose is Purpose.PLAN and not real.is_up(chain):
        with RealSite.scratch(chain) as there, closing(there.keeper):
            yield there
        return
    start = RealSite.start if purpose is Purpose.UP else RealSite.attach
    there = start(chain, show)
    with closing(there.keeper):
        yield there


def keeper(chain: Chain) -> KeeperClient:
    """The keeper of the site that the chain is in; NetchainError (exit 3) when it is not up."""
    return Lab.attach().keeper if chain.is_lab else RealSite.attach(chain).keeper


def split(target: str) -> tuple[str, str | None]:
    """`CHAIN` or `CHAIN:QUBE`."""
    chain, _, qube = target.partition(":")
    return chain, qube or None

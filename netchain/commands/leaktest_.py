"""netchain leaktest: is it really closed? Packets that may not pass, and what every link heard."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netchain.commands import common
from netchain.console import Console
from netchain.errors import Exit, NetchainError, Problem, missing

if TYPE_CHECKING:
    from leaktests.engine.fault import Fault
    from leaktests.engine.outcome import Run
    from leaktests.engine.probe import Probe
    from leaktests.suite import Wanted

STATES = ("connected", "vpn-down", "tor-down", "blocked", "starting")
_QUICK = STATES[:2]
_CODES = {"clean": Exit.DONE, "leak": Exit.LEAK, "inconclusive": Exit.INCONCLUSIVE}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("leaktest")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option(
    "-k",
    "expression",
    metavar="EXPR",
    help="Only probes and faults like this: -k 'dns and not tcp'.",
)
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only this state."
)
@click.option("--quick", is_flag=True, help="Only the states connected and vpn-down.")
@click.option("--full", is_flag=True, help="Every fault, port and protocol, too: minutes.")
@click.option("--allow", multiple=True, type=click.Choice(("faults", "sweeps", "hostile")),
              help="On a real chain, too: end its programs, sweep ports, attack it.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Send the same packets again.")
@click.option("--pcap", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="What leaked, a capture a link.")  # fmt: skip
@click.option("--junit", type=_FILE, help="Also for CI.")
@click.option("--sarif", type=_FILE, help="Also for code hosts.")
@click.option("--html", type=_FILE, help="Also a page.")
@click.option("--redact", is_flag=True, help="Addresses become words: for sharing.")
@click.option(
    "--list", "list_", is_flag=True, help="What is tested, planned, excused; send nothing."
)
@common.output_options
def command(
    chain: str, expression: str | None, states: tuple[str, ...], quick: bool, full: bool,
    allow: tuple[str, ...], seed: int | None, pcap: Path | None, junit: Path | None,
    sarif: Path | None, html: Path | None, redact: bool, list_: bool, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Send what may never pass through CHAIN, in every state, and judge what every link heard.

    Exit code 10: a leak. 12: no leak was seen, but silence is no proof here.
    """
    _require_scapy()
    from leaktests import report
    from leaktests.catalogue import listing
    from leaktests.report import kept

    console = Console(as_json=as_json, quiet=quiet)
    if list_:
        console.result(listing.text(), {"ids": listing.document()})
        return Exit.DONE
    if sum(map(bool, (states, quick, full))) > 1:
        raise click.UsageError("--state, --quick and --full exclude each other")
    files = {"junit_file": junit, "sarif_file": sarif, "html_file": html}
    _check_files(files.values(), pcap)
    chosen = states or (_QUICK if quick else STATES)
    wanted = _wanted(expression, chosen, full, allow, seed)
    run = _run(chain, wanted, console)
    render = report.as_json if as_json else report.as_text
    print(render(run, redact=redact), end="", flush=True)
    report.write(run, pcap_dir=pcap, redact=redact, **files)
    console.say(f"kept in {kept.keep(run)}")
    return _CODES[run.verdict]


def _require_scapy() -> None:
    if find_spec("scapy") is None:
        title = "scapy is missing: it builds the probes"
        raise missing("E033", title, "pip install 'netchain[leaktest]'")


def _check_files(files: Iterable[Path | None], pcap: Path | None) -> None:
    """All of them before anything is sent: a report that cannot be written is worth nothing."""
    problems = []
    for path in filter(None, files):
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            problems.append(Problem("E010", "this file cannot be written", str(path)))
    if pcap is not None:
        there = next(p for p in (pcap, *pcap.absolute().parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            problems.append(Problem("E010", "this directory cannot be made", str(pcap)))
    if problems:
        raise NetchainError(problems, Exit.USAGE)


def _wanted(
    expression: str | None, states: tuple[str, ...], full: bool, allow: tuple[str, ...],
    seed: int | None,
) -> Wanted:  # fmt: skip
    from leaktests import suite
    from leaktests.catalogue import faults, probes
    from leaktests.engine.fault import Fault
    from leaktests.engine.probe import Probe

    every: list[Probe | Fault] = [*probes(), *faults()]
    picked = every if expression is None else _picked(expression, every)
    sent = [one for one in picked if isinstance(one, Probe)]
    return suite.Wanted(
        sent,
        states if sent else (),
        [one for one in picked if isinstance(one, Fault) and (full or not sent)],
        full and bool(sent),
        frozenset(allow),
        secrets.randbits(32) if seed is None else seed,
        _command(),
    )


def _run(name: str, wanted: Wanted, console: Console) -> Run:
    from leaktests import suite

    found = common.find(name)
    silent = Console(quiet=True)  # `up` tells each of its steps
    with common.lock(found.chain), common.site(found, silent) as (chain, site):
        return suite.run(chain, site, wanted, console.say)


def _command() -> str:
    """What was typed, to be typed again."""
    return shlex.join(["netchain", *sys.argv[1:]])


def _picked(expression: str, every: list[Probe | Fault]) -> list[Probe | Fault]:
    from leaktests.engine import choose

    try:
        return choose.chosen(expression, every, lambda one: f"{one.id} {one.name}")
    except ValueError as error:
        accepted = "words of ids and names, with and, or, not and brackets"
        hint = "netchain leaktest --list"
        problem = Problem(
            "E059", f"-k: {error}", value=repr(expression), accepted=accepted, help=hint
        )
        raise NetchainError(problem, Exit.USAGE) from error

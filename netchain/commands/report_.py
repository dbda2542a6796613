"""netchain report: what an earlier leaktest found, as it was kept."""

from __future__ import annotations

import sys

import click

from leaktests.report import kept
from netchain.errors import Exit, NetchainError, Problem


@click.command("report")
@click.argument("run", required=False)
@click.option("--json", "suffix", flag_value="json", help="One JSON document.")
@click.option("--html", "suffix", flag_value="html", help="The page.")
@click.option("--redact", is_flag=True, help="Addresses are words: for sharing.")
def command(run: str | None, suffix: str | None, redact: bool) -> None:
    """Print the report of RUN, or of the last one; redirect it to keep it."""
    known = kept.names()
    name = run if run is not None else next(iter(known), "")
    if name not in known:
        title = f"there is no run {name!r}" if name else "there is no run yet"
        hint = "netchain leaktest"
        problem = Problem("E023", title, accepted=", ".join(known[:5]), help=hint)
        raise NetchainError(problem, Exit.USAGE)
    sys.stdout.buffer.write(kept.read(name, suffix or "txt", redact=redact))

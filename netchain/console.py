"""What a person reads: results on stdout, everything else on stderr, errors in one shape.

Colours follow NO_COLOR, NETCHAIN_COLOR and whether stderr is a terminal; words never depend on
them.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from netchain.errors import NetchainError, Problem

SCHEMA = "netchain/1"


class Console:
    """Where a command speaks; `quiet` silences progress, never results and errors."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet

    def say(self, words: str) -> None:
        """Progress: to stderr, at once. Nobody reads it any more: then no more of it is said, and
        what is being done goes on."""
        if not self._quiet:
            try:
                print(words, file=sys.stderr, flush=True)
            except OSError:
                self._quiet = True

    def result(self, text: str, data: dict[str, Any]) -> None:
        """The result: as text, or with --json as one document with its schema's name."""
        if self.as_json:
            print(json.dumps({"schema": SCHEMA, **data}, indent=2))
        elif text:
            print(text.rstrip("\n"))

    def error(self, error: NetchainError) -> None:
        for problem in error.problems:
            print(render(problem), file=sys.stderr)
        print(error.state, file=sys.stderr)
        if self.as_json:
            found = [vars(problem) for problem in error.problems]
            data = {"verdict": "error", "exit": int(error.exit_code), "errors": found}
            print(json.dumps({"schema": SCHEMA, **data, "state": error.state}, indent=2))


def colour() -> bool:
    """Whether colours are wanted on stderr (no-color.org)."""
    choice = os.environ.get("NETCHAIN_COLOR", "auto")
    if choice != "auto":
        return choice == "always"
    return "NO_COLOR" not in os.environ and sys.stderr.isatty()


def render(problem: Problem) -> str:
    """One problem: code and title, where, the bad value, what is accepted, one hint."""
    head = f"error[{problem.code}]"
    if colour():
        head = f"\033[1;31m{head}\033[0m"
    lines = [f"{head}: {problem.title}"]
    if problem.where:
        lines.append(f"  --> {problem.where}")
    if problem.value:
        lines.append(f"   | got       {problem.value}")
    if problem.accepted:
        lines.append(f"   | accepted  {problem.accepted}")
    if problem.help:
        lines.append(f"help: {problem.help}")
    return "\n".join(lines)

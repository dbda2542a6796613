"""Errors that a person sees: what was wrong, the bad value, what is accepted, one hint.

A `Problem` is data; `NetchainError` carries every problem of one input at once and the exit code
of the command. `console.py` renders them. Codes never change meaning.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

NOTHING_CHANGED = "Nothing was changed."
STAYS_CLOSED = "A chain that was being changed stays closed."
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Exit(IntEnum):
    """Exit codes of every command (docs/cli.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    REFUSED = 4
    MISSING = 5
    LEAK = 10
    COUNTER_EXAMPLE = 11
    INCONCLUSIVE = 12
    DRIFT = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `where` is a file, a key path or a qube; never holds a secret."""

    code: str
    title: str
    where: str = ""
    value: str = ""
    accepted: str = ""
    help: str = ""

    def __str__(self) -> str:
        text = f"{self.code} {self.where}: {self.title}" if self.where else self.title
        return f"{text} (got {self.value})" if self.value else text


class NetchainError(Exception):
    """All problems of one input or one action; `state` says what state the machine is in."""

    def __init__(
        self,
        problems: Problem | Sequence[Problem],
        exit_code: Exit = Exit.FAILED,
        state: str = NOTHING_CHANGED,
    ) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.exit_code = exit_code
        self.state = state
        super().__init__("; ".join(str(problem) for problem in self.problems))


def missing(code: str, title: str, help_text: str) -> NetchainError:
    """A right, a program or a kernel feature is missing (exit 5)."""
    return NetchainError(Problem(code, title, help=help_text), Exit.MISSING)


def from_os(error: OSError) -> NetchainError:
    """What the operating system refused, as one problem with the file that it names (exit 1)."""
    name = error.filename
    where = name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
    title = error.strerror or str(error) or type(error).__name__
    help_text = "make room there (df -h, df -i), then run the command again"
    problem = Problem("E002", title, where, help=help_text if error.errno in _FULL else "")
    return NetchainError(problem, Exit.FAILED, STAYS_CLOSED)

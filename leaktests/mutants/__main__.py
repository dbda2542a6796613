"""`scripts/mutants`: break the rules in one place at a time, and see whether the probes notice."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from leaktests.mutants import further, report, run
from leaktests.mutants.locks import locks
from netchain.resources import data_dir

_USAGE = 2


def main(words: Sequence[str] | None = None) -> int:
    """0: nothing missed; 10: a mutant missed or a false alarm; 12: inconclusive; 2: bad input."""
    options = _parser().parse_args(words)
    try:
        rules = run.files(options.rules)
        every = {m.id: (m, "") for m in run.every(rules)}
        if options.mutants:
            every |= further.read(options.mutants, rules)
    except (OSError, ValueError) as error:
        print(f"scripts/mutants: {error}", file=sys.stderr)
        return _USAGE
    chosen = [pair for name, pair in every.items() if options.k in name]
    held = [lock for lock in locks() if options.k in lock.id]
    if options.list:
        print("\n".join([m.id for m, _ in chosen] + [lock.id for lock in held]))
        return 0
    if not chosen and not held:
        print(f"scripts/mutants: no mutant's name holds {options.k!r}", file=sys.stderr)
        return _USAGE
    count = 0

    def progress(name: str) -> None:
        nonlocal count
        count += bool(name)
        if sys.stderr.isatty():
            print(f"\r{count} of {len(chosen) + len(held)}", end="", file=sys.stderr, flush=True)

    expected = {mutant.id: said for mutant, said in chosen}
    wanted = run.Wanted([mutant for mutant, _ in chosen], held, expected)
    outcome = run.run(rules, wanted, progress)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    if options.json:
        print(json.dumps(report.document(outcome), indent=1))
    else:
        print("\n".join(report.text(outcome)))
    return outcome.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the result as one JSON document")
    parser.add_argument(
        "--rules", type=Path, metavar="DIR", default=data_dir() / "firewall_rules",
        help="the role files to judge (default: our own)",
    )  # fmt: skip
    parser.add_argument("--mutants", type=Path, metavar="FILE", help="further edits, as TOML")
    parser.add_argument("-k", default="", metavar="PART", help="only mutants whose name holds it")
    parser.add_argument("--list", action="store_true", help="only print the names")
    return parser


if __name__ == "__main__":
    sys.exit(main())

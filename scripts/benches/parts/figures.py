"""A bench as a program: it prints figures and goals, or JSON; fails when a goal is missed."""

from __future__ import annotations

import argparse
import json
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

Goals = Mapping[str, tuple[str, Any]]
"""Of a figure: how it must compare ("<=", ">=", ">" or "=="), and with what."""

_COMPARE = {"<=": operator.le, ">=": operator.ge, ">": operator.gt, "==": operator.eq}


def parser(doc: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--json", action="store_true", help="one JSON document")
    return made


def run(doc: str, measure: Callable[[], Mapping[str, Any]], goals: Goals) -> NoReturn:
    as_json: bool = parser(doc).parse_args().json
    report(measure(), goals, as_json=as_json)


def report(found: Mapping[str, Any], goals: Goals, *, as_json: bool) -> NoReturn:
    """Print, and end: 1 when a goal is missed."""
    print(json.dumps(found) if as_json else table(found, goals))
    sys.exit(not all(_COMPARE[sign](found[name], bound) for name, (sign, bound) in goals.items()))


def table(found: Mapping[str, Any], goals: Goals) -> str:
    ends = {name: f"  (goal {sign} {bound})" for name, (sign, bound) in goals.items()}
    return "\n".join(
        f"{name:<18} {value!s:>8}{ends.get(name, '')}" for name, value in found.items()
    )

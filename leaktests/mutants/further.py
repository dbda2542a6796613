"""A list of further edits (`--mutants FILE`): TOML, one table `[[mutant]]` an edit.

[[mutant]]
name = "anybody-to-the-uplink"
role = "vpn-proxy"
text = "2 . 3 : jump into_tunnel"       # a part of one line of the role's file; or
# line = 117                            # the line's number, from 1
replacement = "2 . 1 : accept"          # for that part (with `line`: the line); "" deletes it
expect = "caught"                       # or dead, redundant, equivalent; may be left out
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from leaktests.mutants.operators import Mutant
from leaktests.mutants.rulefile import RuleFile

_KEYS = {"name", "role", "text", "line", "replacement", "expect"}
_EXPECTED = ("", "caught", "dead", "redundant", "equivalent")


def read(path: Path, rules: Mapping[str, RuleFile]) -> dict[str, tuple[Mutant, str]]:
    """The edits by their ids, each with what is expected of it.

    OSError when the file cannot be read; ValueError (with the entry) when it is not as above.
    """
    with path.open("rb") as file:
        listed = tomllib.load(file)
    found: dict[str, tuple[Mutant, str]] = {}
    entries = listed.get("mutant")
    if not isinstance(entries, list) or set(listed) != {"mutant"}:
        raise ValueError(f"{path}: a list of [[mutant]] and nothing else is wanted")
    for number, entry in enumerate(entries, 1):
        try:
            mutant, expected = _entry(entry, rules)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: mutant {number}: {error}") from error
        if mutant.id in found:
            raise ValueError(f"{path}: mutant {number}: {mutant.id} is there twice")
        found[mutant.id] = mutant, expected
    return found


def _entry(entry: Mapping[str, object], rules: Mapping[str, RuleFile]) -> tuple[Mutant, str]:
    unknown = set(entry) - _KEYS
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]}")
    role, name = str(entry["role"]), str(entry["name"])
    if role not in rules:
        raise ValueError(f"no role {role}; there are {', '.join(rules)}")
    expected = str(entry.get("expect", ""))
    if expected not in _EXPECTED:
        raise ValueError(f"expect {expected}: one of {', '.join(_EXPECTED[1:])}")
    file = rules[role]
    number, text = _edit(entry, file)
    opens = next(iter(_places(file, number)), "file.chain")
    return Mutant(f"{role}:further:{name}", role, opens, {number: text}), expected


def _edit(entry: Mapping[str, object], file: RuleFile) -> tuple[int, str | None]:
    """The line's number, from 0, and its new text."""
    replacement = str(entry["replacement"])
    if "line" in entry:
        number = entry["line"]
        if not isinstance(number, int) or not 1 <= number <= len(file.lines):
            raise ValueError(f"line {number}: {file.role} has {len(file.lines)}")
        return number - 1, replacement or None
    part = str(entry["text"])
    having = [n for n, line in enumerate(file.lines) if part in line]
    if not part or len(having) != 1:
        raise ValueError(f"{len(having)} lines of {file.role} hold the text {part!r}: one must")
    return having[0], file.lines[having[0]].replace(part, replacement) if replacement else None


def _places(file: RuleFile, number: int) -> Iterator[str]:
    for chain in file.chains:
        if chain.base is not None and chain.base.line == number:
            yield f"{chain.name}.policy"
        yield from (rule.place for rule in chain.rules if rule.line == number)

"""The mutants that change nothing that anybody could notice, with reasons (equivalent.toml).

A reason is argued for one edit of one rule as it stands in our files. For other rule files it
counts only where the edit reads the same there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from leaktests.mutants.locks import locks
from leaktests.mutants.operators import diff, mutants
from leaktests.mutants.rulefile import RuleFile, parse
from netchain.resources import data_dir


def argued() -> dict[str, str]:
    """Reason by mutant. ValueError for one that is argued twice."""
    text = Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for entry in tomllib.loads(text).get("equivalent", []):
        for name in entry["ids"]:
            if name in found:
                raise ValueError(f"{name} is argued twice")
            found[name] = " ".join(entry["reason"].split())
    return found


def reasons(rules: Mapping[str, RuleFile]) -> dict[str, str]:
    """Those that hold for these files, too."""
    ours = argued()
    found = {lock.id: ours[lock.id] for lock in locks() if lock.id in ours}
    for role, file in rules.items():
        path = data_dir() / "firewall_rules" / f"{role}.nft"
        shipped = parse(role, path.read_text(encoding="utf-8"))
        edits = {m.id: diff(shipped.lines, m.edits) for m in mutants(shipped)}
        for mutant in mutants(file):
            if mutant.id in ours and edits.get(mutant.id) == diff(file.lines, mutant.edits):
                found[mutant.id] = ours[mutant.id]
    return found

"""What `netchain leaktest --list` prints: every id, what became of it, who else tests it (pure)."""

from __future__ import annotations

from collections import Counter
from textwrap import wrap
from typing import Any

from leaktests.catalogue import faults, probes
from leaktests.catalogue.ids import entries
from leaktests.catalogue.status import status

_WIDTH = 80


def document() -> list[dict[str, Any]]:
    """One item an id: `proves` are the sentences of its probes and faults."""
    proves: dict[str, list[str]] = {}
    for probe in probes():
        proves.setdefault(probe.id, []).append(probe.name)
    for fault in faults():
        proves.setdefault(fault.id, []).append(fault.name)
    found = []
    for entry in entries().values():
        known = status(entry.id)
        found.append({
            "id": entry.id, "name": entry.name, "status": str(known.kind), "reason": known.reason,
            "proves": list(dict.fromkeys(proves.get(entry.id, []))), "others": entry.others,
        })  # fmt: skip
    return found


def text() -> str:
    """The same in 80 columns."""
    every = document()
    lines: list[str] = []
    for item in every:
        lines.append(f"{item['id']} {item['name']}")
        told = [f"{item['status']}: {item['reason']}"]
        if item["proves"]:
            told.append(f"nothing leaks: {'; '.join(item['proves'])}")
        if item["others"]:
            told.append(f"also tested by: {item['others']}")
        for words in told:
            lines += wrap(words, _WIDTH, initial_indent="    ", subsequent_indent="      ")
    counts = Counter(item["status"] for item in every)
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return "\n".join([*lines, f"{len(every)} ids: {summary}"])

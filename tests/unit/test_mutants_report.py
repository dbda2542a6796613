"""The result of a run of mutants: what it counts, what it says, and how it ends."""

from __future__ import annotations

import json

import pytest

from leaktests.mutants import report
from leaktests.mutants.run import Outcome, Verdict


def verdict(name: str, kind: str, *probes: str, expected: str = "") -> Verdict:
    return Verdict(f"net:{name}", "net", kind, ("- a", "+ b"), probes, ("x.1 (why)",), "", expected)


GOOD = (verdict("a", "caught", "P01 one"), verdict("b", "dead"), verdict("c", "redundant", "P02"),
        verdict("d", "equivalent"))  # fmt: skip


def outcome(*verdicts: Verdict, **more: object) -> Outcome:
    found = Outcome(list(verdicts))
    for name, value in more.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (outcome(*GOOD), 0),
        (outcome(*GOOD, verdict("e", "missed")), 10),
        (outcome(*GOOD, verdict("e", "dead", expected="caught")), 10),
        (outcome(*GOOD, alarms=["something"]), 10),
        (outcome(*GOOD, doubts=["something"]), 12),
        (outcome(*GOOD, stale=["net:a"]), 12),
        (outcome(*GOOD, verdict("e", "missed"), doubts=["something"]), 10),
        (outcome(), 12),
    ],
)
def test_it_ends_as_what_was_found_says(found: Outcome, code: int) -> None:
    assert found.exit_code == code
    assert list(report.text(found))[-1].startswith({0: "Every", 10: "Missed", 12: "Inc"}[code])


def test_the_document_counts_and_names() -> None:
    missed = verdict("e", "missed")
    said = json.loads(json.dumps(report.document(outcome(*GOOD, missed, alarms=["x"]))))
    assert (said["mutants"], said["caught"], said["dead"]) == (5, 1, 1)
    assert said["redundant"] == [{"id": "net:c", "holders": ["x.1 (why)"], "probes": ["P02"]}]
    assert [one["id"] for one in said["equivalent"]] == ["net:d"]
    assert said["missed"][0]["diff"] == ["- a", "+ b"]
    assert said["false_alarms"] == 1


def test_a_probe_is_needless_when_it_is_never_the_only_one() -> None:
    only, other = "P01 an ICMP echo request", "P05 a DNS question over UDP"
    found = outcome(verdict("a", "caught", only), verdict("b", "caught", only, other))
    assert only not in found.needless
    assert other in found.needless
    assert other not in found.unheard
    assert set(found.unheard) < set(found.needless)


def test_the_table_shows_missed_mutants_with_their_edit() -> None:
    text = "\n".join(report.text(outcome(*GOOD, verdict("e", "missed"))))
    assert "missed: net:e\n    - a\n    + b" in text

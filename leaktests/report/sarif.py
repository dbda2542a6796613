"""SARIF 2.1.0, for code hosts: each leak at the rule that should have held it (pure).

What is inconclusive has no place in a file; it is a warning about the chain.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import netchain
from leaktests.report.facts import Evidence, Report

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_INCONCLUSIVE, _NOBODY = "inconclusive", "no-probe"


def render(report: Report) -> str:
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    results = [_leak(leak) for leak in report.leaks]
    results += [_doubt(report, reason) for reason in report.inconclusive]
    rules = _rules(report)
    order = [rule["id"] for rule in rules]
    for result in results:
        result["ruleIndex"] = order.index(result["ruleId"])
    run = {
        "tool": {"driver": {"name": "netchain", "version": netchain.__version__, "rules": rules}},
        "invocations": [
            {
                "commandLine": report.again,
                "executionSuccessful": report.verdict != "inconclusive",
                "startTimeUtc": report.started,
            }
        ],
        "automationDetails": {"id": f"leaktest/{report.chain}/"},
        "results": results,
        "properties": {"verdict": report.verdict, "seed": report.seed},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rules(report: Report) -> list[dict[str, Any]]:
    """Every probe and trial that a result names, once."""
    names = {_id(leak): leak.name for leak in report.leaks}
    if report.inconclusive:
        names[_INCONCLUSIVE] = "silence that is no proof"
    return [{"id": id_, "shortDescription": {"text": text}} for id_, text in names.items()]


def _id(leak: Evidence) -> str:
    return leak.probe or leak.trial or _NOBODY


def _leak(leak: Evidence) -> dict[str, Any]:
    text = (
        f"{leak.title}: {leak.what} passed on {leak.link} ({leak.direction}), {leak.window}. "
        f"{leak.fix}"
    )
    region = {"startLine": leak.cause.line}
    artifact = {"artifactLocation": {"uri": leak.cause.file}, "region": region}
    # The same leak in another run has other ports and times, but these.
    same = [leak.state, leak.trial, leak.name, _id(leak), leak.link, leak.direction]
    return {
        "ruleId": _id(leak),
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": artifact}],
        "partialFingerprints": {"leak/v1": hashlib.sha256("\n".join(same).encode()).hexdigest()},
        "properties": {"link": leak.link, "count": leak.count, "firstMs": leak.first_ms},
    }


def _doubt(report: Report, reason: str) -> dict[str, Any]:
    where = {"fullyQualifiedName": report.chain, "kind": "module"}
    return {
        "ruleId": _INCONCLUSIVE,
        "level": "warning",
        "message": {"text": reason},
        "locations": [{"logicalLocations": [where]}],
    }

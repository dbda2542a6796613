"""JUnit's XML, for CI: a testcase for each probe in each state and for each trial (pure).

A leak is a failure, what is inconclusive an error, what was not tested skipped. Leaks of packets
that no probe sent, the sensors and the control have testcases of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from leaktests.report.facts import Evidence, ProbeRow, Report, SweepRow, TrialRow

_KINDS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def render(report: Report) -> str:
    root = Element("testsuites", name=f"netchain leaktest {report.chain}")
    for sweep in report.sweeps:
        suite = _suite(root, report, sweep.state, sweep.seconds)
        for probe in report.probes:
            if probe.state == sweep.state:
                _probe(suite, report, probe)
        _nobody(suite, report, sweep)
    if report.trials:
        suite = _suite(root, report, "trials", sum(trial.seconds for trial in report.trials))
        for trial in report.trials:
            _trial(suite, report, trial)
    _run(_suite(root, report, "run", report.seconds), report)
    for suite in root:
        _count(suite, suite)
    _count(root, root)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n"


def _suite(root: Element, report: Report, name: str, seconds: float) -> Element:
    suite = SubElement(
        root, "testsuite", name=name, timestamp=report.started.rstrip("Z"), time=f"{seconds:.3f}"
    )
    properties = SubElement(suite, "properties")
    for key, value in (("seed", str(report.seed)), ("again", report.again)):
        SubElement(properties, "property", name=key, value=value)
    return suite


def _case(suite: Element, name: str, seconds: float = 0.0) -> Element:
    classname = f"netchain.{suite.get('name')}"
    return SubElement(suite, "testcase", classname=classname, name=name, time=f"{seconds:.3f}")


def _probe(suite: Element, report: Report, row: ProbeRow) -> None:
    case = _case(suite, f"{row.id} {row.name}")
    leaks = [e for e in report.leaks if e.probe == row.id and e.state == row.state]
    _judge(case, leaks, row.reasons)


def _nobody(suite: Element, report: Report, sweep: SweepRow) -> None:
    case = _case(suite, "packets that no probe sent")
    leaks = [e for e in report.leaks if e.state == sweep.state and not e.probe]
    _judge(case, leaks, ())


def _trial(suite: Element, report: Report, row: TrialRow) -> None:
    case = _case(suite, f"{row.id} {row.name}", row.seconds)
    leaks = [e for e in report.leaks if e.trial == row.id and e.name == row.name]
    _judge(case, leaks, row.reasons)


def _run(suite: Element, report: Report) -> None:
    nothing = () if report.sweeps or report.trials else ("nothing was tested",)
    _judge(_case(suite, "every tap heard its link"), [], (*report.doubts, *nothing))
    if report.control is not None:
        ok = report.control.ok
        _judge(_case(suite, "control"), [], () if ok else (report.control.sentence,))
    for what, why in report.skipped:
        SubElement(_case(suite, what), "skipped", message=why)


def _judge(case: Element, leaks: list[Evidence], reasons: Iterable[str]) -> None:
    reasons = list(reasons)
    if leaks:
        first = leaks[0]
        failure = SubElement(case, "failure", type="leak", message=f"{first.link}: {first.what}")
        failure.text = "\n".join(
            f"{e.link} {e.direction}: {e.what}\n  {e.window}\n"
            f"  not held by {e.cause.place} in {e.cause.qube}"
            for e in leaks
        )
    elif reasons:
        error = SubElement(case, "error", type="inconclusive", message=reasons[0])
        error.text = "\n".join(reasons)


def _count(element: Element, of: Element) -> None:
    cases = list(of.iter("testcase"))
    element.set("tests", str(len(cases)))
    for attribute, kind in _KINDS.items():
        element.set(attribute, str(sum(case.find(kind) is not None for case in cases)))

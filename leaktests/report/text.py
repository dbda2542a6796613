"""The report on a terminal: 80 columns, the verdict first, the next command last (pure).

Nothing depends on colour: there is none. Commands are never broken, so that they can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from leaktests.report.facts import SIGNS, Evidence, Report, TapRow

WIDTH = 80
_MOST = 10
"""How many leaks and reasons are told; the files tell all."""


def render(report: Report) -> str:
    parts = [
        _wrapped(report.sentence, f"{SIGNS[report.verdict]} "),
        _section("leaks", _cut([_leak(leak) for leak in report.leaks], "leaks")),
        _section("why silence is no proof", _reasons(report)),
        _section("links", [line for tap in report.taps for line in _tap(tap)]),
        _section("states and trials", _states(report)),
        _section("control", _control(report)),
        _section("not tested", _skipped(report)),
        _again(report),
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *lines] if lines else []


def _wrapped(text: str, first: str, following: str = "") -> list[str]:
    """The text in lines; `first` begins the first, as many blanks (or `following`) the others."""
    more = following or " " * len(first)
    return wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=more, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def _cut(items: Sequence[list[str]], what: str) -> list[str]:
    """The lines of the first few items, and how many more there are."""
    lines = [line for item in items[:_MOST] for line in item]
    more = len(items) - _MOST
    return [*lines, f"  and {more} more {what}; --json and --html tell all"] if more > 0 else lines


def _leak(leak: Evidence) -> list[str]:
    return [
        *_wrapped(leak.title, "✗ "),
        *_wrapped(f"{leak.link} {leak.direction}: {leak.what}", "    ", "      "),
        *_wrapped(leak.window, "    "),
        *_wrapped(f"not held by {leak.cause.place} in {leak.cause.qube}", "    ", "      "),
    ]


def _reasons(report: Report) -> list[str]:
    return _cut([_wrapped(reason, "? ") for reason in report.inconclusive], "reasons")


def _tap(tap: TapRow) -> list[str]:
    canary = "canary heard" if tap.canary else "CANARY NOT HEARD"
    told = f"{tap.frames:>7} frames  {canary}  {tap.drops} lost" if tap.heard else "  NO TAP"
    leaked = f"  {tap.leaked} LEAKED" if tap.leaked else ""
    name = f"{SIGNS[tap.verdict]} {tap.link}"
    if len(name) > 28:
        return [name, " " * 28 + told + leaked]
    return [f"{name:<28}{told}{leaked}"]


def _states(report: Report) -> list[str]:
    lines: list[str] = []
    for row in report.sweeps:
        sent = f"{row.probes} probes, {row.shots} packets" if row.shots else "only listened"
        told = f"{row.state}: {sent}, {row.seconds:.1f} s, {row.verdict}"
        lines += _wrapped(told, f"{SIGNS[row.verdict]} ")
    for trial in report.trials:
        leaked = sum(trial.leaked.values())
        window = f", {leaked} leaked within {trial.window_ms:.1f} ms" if leaked else ""
        told = f"{trial.id} {trial.name}: {trial.sent} packets, {trial.seconds:.1f} s, "
        lines += _wrapped(told + trial.verdict + window, f"{SIGNS[trial.verdict]} ")
    return lines


def _control(report: Report) -> list[str]:
    control = report.control
    if control is None:
        return []
    detail = f" ({control.detail})" if control.detail else ""
    return _wrapped(control.sentence + detail, "✓ " if control.ok else "? ")


def _skipped(report: Report) -> list[str]:
    every: Iterable[tuple[str, str]] = report.skipped
    lines = [line for what, why in every for line in _wrapped(f"{what}: {why}", "- ", "    ")]
    return lines if report.control else [*lines, "- the control: whether the sensors fire at all"]


def _again(report: Report) -> list[str]:
    redacted = ["addresses are redacted, packets left out"] if report.redacted else []
    return ["", *redacted, f"again  {report.again}", f"next   {report.following}"]

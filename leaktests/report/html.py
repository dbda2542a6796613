"""The report as one self-contained page (pure): no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from leaktests.report import html_leaks
from leaktests.report.facts import SIGNS, Counts, ProbeRow, Report, TapRow
from netchain import drawing
from netchain.drawing import Wire

STATES = {"clean": drawing.OK, "leak": drawing.BAD, "inconclusive": drawing.UNSURE}
_SHOWN = 20
_STYLE = """
.sub,.few{color:#666;font-size:.9rem}@media(prefers-color-scheme:dark){.sub,.few{color:#aaa}}
.few{margin:.25rem 0}
.legend{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:.1rem 1rem;
padding:0;list-style:none;font-size:.9rem}
.matrix td.n,.matrix th.n{text-align:center;white-space:nowrap}
.matrix td:first-child{min-width:9rem}
.leak{border-left:4px solid var(--bad);padding:.1rem 0 .1rem 1rem;margin:1rem 0}
.leak h3{margin:.2rem 0;font-size:1.05rem}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1rem;margin:.4rem 0}
dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){dt{color:#aaa}}
@media(max-width:30rem){td,th{padding:.25rem .35rem}.matrix{font-size:.85rem}
.matrix td:first-child{min-width:7rem}dl{display:block}dd{margin:0 0 .4rem}}
pre{background:#8882;padding:.6rem;border-radius:.3rem;overflow-x:auto;font-size:.85rem;
margin:.4rem 0}
pre.line{white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:.6rem 0}summary{cursor:pointer}
.wide td{min-width:14rem;overflow-wrap:anywhere}.sensors td{white-space:nowrap}
"""


def render(report: Report) -> str:
    shown = {tap.link: f"T{number}" for number, tap in enumerate(report.taps, 1)}
    parts = [
        _verdict(report),
        _drawn(report, shown),
        _section("Probes and trials, tap by tap", _matrix(report, shown)),
        _section("Leaks", html_leaks.render(report)),
        _section("Why silence is no proof here", _reasons(report.inconclusive)),
        _section("Run it again", f"<pre class='line'>{escape(report.again)}</pre>"),
        _section("Conditions", _conditions(report)),
        _section("Sensor check", _sensors(report, shown)),
        _section("What was not tested", _skipped(report)),
        _section("Redaction", _redaction(report)),
    ]
    return drawing.page(f"netchain leaktest {report.chain}", "\n".join(parts), _STYLE)


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def _sign(verdict: str) -> str:
    return f"<span class='{STATES[verdict]}'>{SIGNS[verdict]} {verdict}</span>"


def _verdict(report: Report) -> str:
    state = STATES[report.verdict]
    when = report.started.replace("T", " ").replace("Z", " UTC")
    return (
        f"<h1 class='{state}'>{SIGNS[report.verdict]} {escape(report.sentence)}</h1>"
        f"<p class='sub'>Chain {escape(report.chain)}, {escape(when)},"
        f" {report.seconds:.1f} s. Leak test by netchain.</p>"
    )


def _drawn(report: Report, shown: dict[str, str]) -> str:
    """The chain, and what the numbers of its taps mean."""
    wires = {tap.link: Wire(STATES[tap.verdict], shown[tap.link]) for tap in report.taps}
    legend = "".join(
        f"<li class='{STATES[tap.verdict]}'>{SIGNS[tap.verdict]} {shown[tap.link]}"
        f" {escape(tap.link)}{_leaked(tap)}</li>"
        for tap in report.taps
    )
    return f"{drawing.chain(report.qubes, wires)}<ul class='legend'>{legend}</ul>"


def _leaked(tap: TapRow) -> str:
    if tap.leaked:
        return f": {tap.leaked} leaked"
    if not tap.heard:
        return ": no tap"
    return ": deaf" if not tap.canary else f": {tap.drops} lost" if tap.drops else ""


def _matrix(report: Report, shown: dict[str, str]) -> str:
    """A row for each probe and trial that leaked, then for what is inconclusive; clean ones folded,
    a row for each probe whatever its states."""
    rows: list[tuple[str, str, str, Counts]] = [
        (f"{row.id} {row.name}", row.state, row.verdict, row.leaked) for row in report.probes
    ]
    rows += [
        ("packets that no probe sent", sweep.state, "leak", sweep.other)
        for sweep in report.sweeps
        if sweep.other
    ]
    rows += [(f"{row.id} {row.name}", "trial", row.verdict, row.leaked) for row in report.trials]
    found = ""
    for verdict in ("leak", "inconclusive"):
        cells = [_row(shown, *row) for row in rows if row[2] == verdict]
        table = _table(shown, cells)
        if cells and verdict == "inconclusive":
            table = _folded(f"{len(cells)} inconclusive", table, is_open=len(cells) <= _SHOWN)
        found += table if cells else ""
    clean = [row for row in rows if row[2] == "clean"]
    if not clean:
        return found
    states: dict[str, list[str]] = {}
    for name, state, _, _ in clean:
        states.setdefault(name, []).append(state)
    cells = [_row(shown, name, ", ".join(where), "clean", {}) for name, where in states.items()]
    told = f"{len(clean)} clean ({_probes(report.probes)})"
    return found + _folded(told, _table(shown, cells), is_open=False)


def _probes(rows: Iterable[ProbeRow]) -> str:
    clean = {row.id for row in rows if row.verdict == "clean"}
    return "1 probe" if len(clean) == 1 else f"{len(clean)} probes"


def _row(shown: dict[str, str], name: str, where: str, verdict: str, leaked: Counts) -> str:
    cells = "".join(
        f"<td class='n bad'>✗ {leaked[link]}</td>"
        if leaked.get(link)
        else f"<td class='n'>{'?' if verdict == 'inconclusive' else '✓'}</td>"
        for link in shown
    )
    return (
        f"<tr><td>{escape(name)}</td><td>{escape(where)}</td><td>{_sign(verdict)}</td>{cells}</tr>"
    )


def _table(shown: dict[str, str], rows: list[str]) -> str:
    heads = "".join(f"<th class='n'>{number}</th>" for number in shown.values())
    return (
        "<div class='box'><table class='matrix'><tr><th>probe or trial</th><th>state</th>"
        f"<th>verdict</th>{heads}</tr>{''.join(rows)}</table></div>"
    )


def _folded(summary: str, body: str, *, is_open: bool) -> str:
    flag = " open" if is_open else ""
    return f"<details{flag}><summary>{escape(summary)}</summary>{body}</details>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _reasons(reasons: tuple[str, ...]) -> str:
    if not reasons:
        return ""
    more = reasons[_SHOWN:]
    rest = _folded(f"and {len(more)} more", _list(more), is_open=False) if more else ""
    return _list(reasons[:_SHOWN]) + rest


def _conditions(report: Report) -> str:
    conditions = {"seed": str(report.seed), **report.conditions}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in conditions.items()
    )
    return f"<div class='box'><table class='wide'>{rows}</table></div>"


def _sensors(report: Report, shown: dict[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{shown[tap.link]}</td><td>{escape(tap.link)}</td><td>{_canary(tap)}</td>"
        f"<td>{tap.frames}</td><td{_doubtful(tap.drops)}>{tap.drops}</td></tr>"
        for tap in report.taps
    )
    table = (
        "<div class='box'><table class='sensors'><tr><th></th><th>link</th><th>canary</th>"
        f"<th>frames</th><th>lost</th></tr>{rows}</table></div>"
    )
    control = report.control
    if control is None:
        return f"{table}<p>No control was run: nobody saw these sensors fire.</p>"
    state, sign = (drawing.OK, "✓") if control.ok else (drawing.UNSURE, "?")
    detail = f" ({escape(control.detail)})" if control.detail else ""
    return (
        f"{table}<p>Control: <span class='{state}'>{sign} {escape(control.sentence)}</span>"
        f"{detail}.</p>"
    )


def _doubtful(count: int) -> str:
    return f" class='{drawing.UNSURE}'" if count else ""


def _canary(tap: TapRow) -> str:
    if not tap.heard:
        return f"<span class='{drawing.UNSURE}'>? no tap</span>"
    if tap.canary:
        return f"<span class='{drawing.OK}'>✓ heard</span>"
    return f"<span class='{drawing.UNSURE}'>? not heard</span>"


def _skipped(report: Report) -> str:
    """Always something: a test never covers everything."""
    items = [f"{what}: {why}" for what, why in report.skipped]
    return _list([*items, "Timing and size of packets, and what programs say inside of the chain."])


def _redaction(report: Report) -> str:
    if report.redacted:
        told = (
            "Redacted: addresses outside the chain are words, the same one everywhere; packets are"
            " left out. Names of chain and qubes, ports, times and versions are shown."
        )
    else:
        told = (
            "Not redacted: the VPN's endpoint, the uplink's addresses and whole packets are shown."
            " Before you give this page to others, make it again with --redact."
        )
    return f"<p>{told}</p>"

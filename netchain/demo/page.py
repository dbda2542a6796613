"""The demo as one self-contained page: the chain drawn (SVG, Qubes' label colours), the table.

No script, no link, nothing loaded from anywhere (Content-Security-Policy: default-src 'none').
"""

from __future__ import annotations

from html import escape
from typing import Any

from netchain.demo import control, observers
from netchain.model.label import Label

_COLUMNS = ("ISP", "VPN provider", "first relay", "exit", "site")
_STEP, _BOX = 196, 150
_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;
margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}
td,th{border:1px solid #8886;padding:.4rem .6rem;text-align:left;vertical-align:top}
.box{overflow-x:auto}.ok{color:#2a7d00}.bad{color:#cc0000}svg{max-width:100%;height:auto}
@media(prefers-color-scheme:dark){.ok{color:#73d216}.bad{color:#ff6b6b}}
"""


def render(document: dict[str, Any]) -> str:
    """The page (HTML) for what `demo --json` prints."""
    clean = document["verdict"] == "clean"
    verdict = (
        "Clean: nothing left the chain except inside the VPN."
        if clean
        else f"Verdict: {document['verdict']}."
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>netchain demo</title><style>{_STYLE}</style></head><body>"
        f"<h1 class='{'ok' if clean else 'bad'}'>{escape(verdict)}</h1>"
        f"{_drawing(document)}<h2>Who saw what</h2><div class='box'>{_table(document)}</div>"
        f"<p>Every cell comes from packets that were captured in this run.</p>"
        f"<h2>Every link, judged</h2><div class='box'>{_links(document)}</div>"
        f"<h2>Control</h2>{_control(document)}</body></html>\n"
    )


def _drawing(document: dict[str, Any]) -> str:
    """The chain from the uplink on, each link green or red."""
    bad = {link["link"]: link["not_allowed"] for link in document["links"]}
    qubes = document["qubes"]
    width = 20 + len(qubes) * _STEP
    parts = [f"<svg viewBox='0 0 {width} 110' role='img' aria-label='the chain'>"]
    for index, qube in enumerate(qubes):
        x = 20 + index * _STEP
        link = f"{qube['name']}--{qube['netvm']}" if qube["netvm"] else "isp"
        stroke = "#cc0000" if bad.get(link) else "#2a7d00"
        start = max(0, x - _STEP + _BOX)  # the uplink comes in from the left
        parts.append(
            f"<line x1='{start}' y1='50' x2='{x}' y2='50' stroke='{stroke}' stroke-width='4'/>"
        )
        label = Label(qube["label"])
        text = f"fill='{label.text_colour}' text-anchor='middle' font-family='sans-serif'"
        middle = x + _BOX // 2
        parts.append(
            f"<rect x='{x}' y='20' width='{_BOX}' height='60' rx='8' fill='{label.colour}' "
            "stroke='#888' stroke-width='2'/>"
            f"<text x='{middle}' y='46' {text} font-size='17'>{escape(qube['name'])}</text>"
            f"<text x='{middle}' y='68' {text} font-size='14'>{escape(qube['role'])}</text>"
        )
    return "".join([*parts, "</svg>"])


def _table(document: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
    rows = []
    for label, cells in document["who_sees_what"].items():
        shown = (observers.words(cells[c]) if cells[c] else "-" for c in _COLUMNS)
        rows.append(
            f"<tr><th>{escape(label)}</th>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in shown)
            + "</tr>"
        )
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _links(document: dict[str, Any]) -> str:
    rows = []
    for link in document["links"]:
        style = "bad" if link["not_allowed"] else "ok"
        rows.append(
            f"<tr><td>{escape(link['link'])}</td><td>{link['frames']}</td>"
            f"<td class='{style}'>{link['not_allowed']}</td></tr>"
        )
    return (
        f"<table><tr><th>link</th><th>frames</th><th>not allowed</th></tr>{''.join(rows)}</table>"
    )


def _control(document: dict[str, Any]) -> str:
    """The detector is seen to fire, hop by hop."""
    items = "".join(f"<li>{escape(line)}</li>" for line in control.words(document["control"]))
    return f"<p>The same page again with the rules opened, hop by hop:</p><ul>{items}</ul>"

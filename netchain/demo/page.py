"""The demo as one self-contained page: the chain drawn (SVG, Qubes' label colours), the table.

No script, no link, nothing loaded from anywhere (Content-Security-Policy: default-src 'none').
"""

from __future__ import annotations

from html import escape
from typing import Any

from netchain.demo import observers

_QUBES = (
    ("sys-net", "net", "#cc0000"),
    ("sys-firewall", "firewall", "#73d216"),
    ("sys-proxyvm", "VPN", "#f57900"),
    ("sys-whonix", "Tor", "#000000"),
    ("anon-whonix", "workstation", "#cc0000"),
)
_COLUMNS = ("ISP", "VPN provider", "first relay", "exit", "site")
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
        f"<p>{escape(_control(document))}</p></body></html>\n"
    )


def _drawing(document: dict[str, Any]) -> str:
    bad = {link["link"]: link["not_allowed"] for link in document["links"]}
    parts = ["<svg viewBox='0 0 1000 110' role='img' aria-label='the chain'>"]
    for index, (name, role, colour) in enumerate(_QUBES):
        x = 20 + index * 196
        client = _QUBES[index + 1][0] if index + 1 < len(_QUBES) else ""
        if client:
            stroke = "#cc0000" if bad.get(f"{client}--{name}") else "#2a7d00"
            parts.append(
                f"<line x1='{x + 150}' y1='50' x2='{x + 196}' y2='50' stroke='{stroke}' "
                "stroke-width='4'/>"
            )
        parts.append(
            f"<rect x='{x}' y='20' width='150' height='60' rx='8' fill='{colour}' "
            "stroke='#888' stroke-width='2'/>"
            f"<text x='{x + 75}' y='46' fill='#fff' text-anchor='middle' font-size='17' "
            f"font-family='sans-serif'>{name}</text>"
            f"<text x='{x + 75}' y='68' fill='#fff' text-anchor='middle' font-size='14' "
            f"font-family='sans-serif'>{role}</text>"
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
    control = document["control"]
    opened = ", ".join(control["opened"])
    return (
        f"Control: with {opened} opened, {control['leaked']} frames were seen on the uplink "
        "and judged a leak; so the sensors hear what they must."
    )

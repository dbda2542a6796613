"""The demo as one self-contained page: the chain drawn, the table, every link, the control."""

from __future__ import annotations

from html import escape
from typing import Any

from netchain import drawing
from netchain.demo import control, observers
from netchain.drawing import Box, Wire
from netchain.model.label import Label

_COLUMNS = ("ISP", "VPN provider", "first relay", "exit", "site")


def render(document: dict[str, Any]) -> str:
    """The page (HTML) for what `demo --json` prints."""
    clean = document["verdict"] == "clean"
    verdict = (
        "Clean: nothing left the chain except inside the VPN."
        if clean
        else f"Verdict: {document['verdict']}."
    )
    return drawing.page(
        "netchain demo",
        f"<h1 class='{drawing.OK if clean else drawing.BAD}'>{escape(verdict)}</h1>"
        f"{_drawing(document)}<h2>Who saw what</h2><div class='box'>{_table(document)}</div>"
        f"<p>Every cell comes from packets that were captured in this run.</p>"
        f"<h2>Every link, judged</h2><div class='box'>{_links(document)}</div>"
        f"<h2>Control</h2>{_control(document)}",
    )


def _drawing(document: dict[str, Any]) -> str:
    """The chain, each link green or red, with the number of its frames that were not allowed."""
    boxes = [
        Box(qube["name"], qube["role"], Label(qube["label"]), qube["netvm"])
        for qube in document["qubes"]
    ]
    wires = {
        link["link"]: Wire(drawing.BAD, str(link["not_allowed"]))
        if link["not_allowed"]
        else Wire(drawing.OK)
        for link in document["links"]
    }
    return drawing.chain(boxes, wires)


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

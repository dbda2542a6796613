"""What our HTML pages share: frame, look, and the chain drawn with Qubes' label colours (pure).

No script, no outside link, nothing loaded from anywhere (Content-Security-Policy: default-src
'none'). The drawing is text in boxes, so that it can be read aloud, wraps long names, and stands
upright where the window is narrow. A link's state is a word and a sign, never its colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from netchain.model.label import Label

OK, BAD, UNSURE = "ok", "bad", "unsure"
SIGNS = {OK: "✓", BAD: "✗", UNSURE: "?"}

_STYLE = """
:root{color-scheme:light dark;--ok:#2a7d00;--bad:#c00;--unsure:#8a5a00;--edge:#0004}
@media(prefers-color-scheme:dark){:root{--ok:#73d216;--bad:#ff6b6b;--unsure:#edd400;--edge:#ddd}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;
overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.2rem;margin:2rem 0 .5rem}
table{border-collapse:collapse}
td,th{border:1px solid #8886;padding:.35rem .6rem;text-align:left;vertical-align:top}
.box{overflow-x:auto;max-width:100%}
.ok{color:var(--ok)}.bad{color:var(--bad)}.unsure{color:var(--unsure)}
.chain{width:max-content;padding:.5rem 0}
.node,.branch{display:flex;flex-direction:row-reverse;align-items:center}
.clients{display:flex;flex-direction:column;align-items:flex-end;gap:.75rem}
.qube{min-width:6.6rem;max-width:10rem;padding:.45rem .6rem;border-radius:.5rem;
border:2px solid var(--edge);text-align:center;line-height:1.3;overflow-wrap:anywhere}
.qube span{display:block;font-size:.85rem}.outside{border-style:dashed}
.wire{width:3rem;text-align:center;font-size:.8rem;line-height:1.2}
.wire i{display:block;height:4px;background:currentColor}.wire b,.wire span{display:block}
.wire.unsure i{height:0;background:none;border-top:4px dotted}
@media(max-width:62rem){.chain{width:auto}
.node,.branch{flex-direction:column-reverse;align-items:stretch}.clients{align-items:stretch}
.qube{max-width:none}
.wire{width:auto;display:flex;justify-content:center;align-items:center;gap:.6rem;height:2rem}
.wire i{width:4px;height:100%}.wire b,.wire span{width:4rem}.wire b{text-align:right}
.wire span{text-align:left}
.wire.unsure i{width:0;height:100%;border-top:0;border-left:4px dotted}}
"""


@dataclass(frozen=True)
class Box:
    """A qube as it is drawn; `netvm` None for the one that holds the uplink."""

    name: str
    role: str
    label: Label
    netvm: str | None

    @property
    def link(self) -> str:
        return f"{self.name}--{self.netvm}" if self.netvm else "isp"


@dataclass(frozen=True)
class Wire:
    """A link as it is drawn: OK, BAD or UNSURE, and a few characters beside it."""

    state: str
    note: str = ""


def page(title: str, body: str, style: str = "") -> str:
    """A whole page; `body` and `style` are written into it as they are."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def chain(boxes: Sequence[Box], wires: Mapping[str, Wire]) -> str:
    """The chain as it is read, the workstation first, the internet last; a link without a wire is
    drawn as unsure."""
    roots = "".join(_branch(box, boxes, wires) for box in boxes if box.netvm is None)
    return (
        "<div class='box'><div class='chain'><div class='node'>"
        f"<div class='qube outside'>internet</div><div class='clients'>{roots}</div>"
        "</div></div></div>"
    )


def _branch(box: Box, boxes: Sequence[Box], wires: Mapping[str, Wire]) -> str:
    """The link of a qube, the qube, and everything behind it."""
    wire = wires.get(box.link, Wire(UNSURE))
    clients = "".join(_branch(b, boxes, wires) for b in boxes if b.netvm == box.name)
    colours = f"background:{box.label.colour};color:{box.label.text_colour}"
    return (
        f"<div class='branch'><div class='wire {wire.state}'><b>{SIGNS[wire.state]}</b><i></i>"
        f"<span>{escape(wire.note)}</span></div><div class='node'>"
        f"<div class='qube' style='{colours}'>{escape(box.name)}"
        f"<span>{escape(box.role)}</span></div>"
        + (f"<div class='clients'>{clients}</div>" if clients else "")
        + "</div></div>"
    )

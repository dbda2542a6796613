"""The pages as a browser shows them: nothing is cut off, nothing runs or is loaded, words are read.

Not covered: other browsers than Chromium.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromium
import pytest
import reports
from chromium import Browser

from leaktests.report import html, of
from netchain.demo import page as demo_page
from netchain.model.names import QubeName

pytestmark = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="chromium is not installed (apt-get install chromium)"
)
LONG = "198.18.7.1:51820/" + "a-very-long-word" * 20
WIDTHS = (1080, 420)


def _demo() -> str:
    sees = {"who": ["you", "VPN server"], "name": True, "page": False}
    row = dict.fromkeys(("ISP", "VPN provider", "first relay", "exit", "site"), sees)
    qubes = reports.CHAIN.from_uplink()
    stage = {"opened": "sys-proxyvm", "link": "isp", "leaked": 3, "uplink": 3}
    document: dict[str, Any] = {
        "verdict": "leak",
        "qubes": [
            {"name": q.name, "role": q.role, "label": q.label, "netvm": q.netvm} for q in qubes
        ],
        "links": [
            {"link": "isp", "frames": 5, "not_allowed": 2},
            {"link": "sys-firewall--sys-net", "frames": 5, "not_allowed": 0},
        ],
        "who_sees_what": {"direct": row, "VPN + Tor": row},
        "control": {"stages": [stage]},
    }
    return demo_page.render(document)


def _long_names() -> str:
    """Names as long as they may be, and words without a place to break."""
    names = {q.name: QubeName.parse(f"{q.name}-".ljust(31, "m")) for q in reports.CHAIN.qubes}
    qubes = tuple(
        replace(q, name=names[q.name], netvm=names[q.netvm] if q.netvm else None)
        for q in reports.CHAIN.qubes
    )
    chain = replace(reports.CHAIN, qubes=qubes)
    run = replace(reports.inconclusive(), chain=chain, taps=reports.taps(chain), sweeps=())
    return html.render(of(replace(
        run, doubts=(LONG,), command=LONG, conditions={"endpoint": LONG}, skipped=((LONG, LONG),),
    )))  # fmt: skip


PAGES = {
    **{name: html.render(of(make())) for name, make in reports.RUNS.items()},
    "redacted": html.render(of(reports.leaking(), redact=True)),
    "long": _long_names(),
    "demo": _demo(),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in PAGES}
    for name, path in paths.items():
        path.write_text(PAGES[name], encoding="utf-8")
    return paths


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(
    browser: Browser, pages: dict[str, Path], tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    browser.show(pages[name], width, dark=dark)
    picture = tmp_path / f"{name}-{width}-{'dark' if dark else 'light'}.png"
    picture.write_bytes(browser.picture())  # for people to look at
    assert browser.value("document.scrollingElement.scrollWidth") <= width
    colours = _colours(browser.picture(right=4))
    assert len(colours) == 1, "something reaches the right edge"
    red, green, blue = colours.pop()
    assert (max(red, green, blue) < 64) is dark


OUTSIDE = """[...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.box') || e.closest('pre')) return false;
  return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("name", PAGES)
def test_only_boxes_that_scroll_hold_what_is_wide(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.show(pages[name], 420, dark=False)
    assert browser.value(OUTSIDE) == []
    styles = "[...document.querySelectorAll('.box')].map(e => getComputedStyle(e).overflowX)"
    assert set(browser.value(styles)) == {"auto"}


def _order(browser: Browser, side: str) -> list[str]:
    """The names in the drawing, as they stand from that side on."""
    found = browser.value(
        f"""[...document.querySelectorAll('.qube')]
        .map(e => [e.getBoundingClientRect().{side}, e.firstChild.textContent])
        .sort((a, b) => a[0] - b[0]).map(e => e[1])"""
    )
    return [str(name) for name in found]


NAMES = ["anon-whonix", "sys-whonix", "sys-proxyvm", "sys-firewall", "sys-net", "internet"]


@pytest.mark.parametrize("name", ["leaking", "demo"])
def test_the_chain_lies_in_a_wide_window_and_stands_in_a_narrow_one(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.show(pages[name], 1080, dark=False)
    assert _order(browser, "left") == NAMES
    browser.show(pages[name], 420, dark=False)
    assert _order(browser, "top") == NAMES


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_can_be_read(browser: Browser, pages: dict[str, Path], dark: bool) -> None:
    """At least 4.5 to 1 (WCAG 2.2, contrast minimum) for every word that is shown."""
    browser.show(pages["leaking"], 1080, dark=dark)
    assert browser.value(CONTRAST) == []


def test_a_black_qube_has_a_light_edge_in_the_dark(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["clean"], 1080, dark=True)
    edges = browser.value(
        "[...document.querySelectorAll('.qube')].map(e => getComputedStyle(e).borderTopColor)"
    )
    assert set(edges) == {"rgb(221, 221, 221)"}


CONTRAST = """(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const canvas = dark ? [18, 18, 18] : [255, 255, 255];
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return canvas;
  };
  return [...document.querySelectorAll('body *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(e => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 90)];
    }).filter(([ratio]) => ratio < 4.5);
})()"""


def _colours(png: bytes) -> set[tuple[int, ...]]:
    """The colours of a PNG with 8 bits a channel, RGB or RGBA."""
    width = int.from_bytes(png[16:20])
    assert (png[24], png[25]) in ((8, 2), (8, 6))
    size = 3 if png[25] == 2 else 4
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw, stride = zlib.decompress(data), width * size
    before = bytearray(stride)
    found = set()
    for start in range(0, len(raw), stride + 1):
        line = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], line, before, size)
        found |= {tuple(line[at : at + 3]) for at in range(0, stride, size)}
        before = line
    return found


def _unfilter(kind: int, line: bytearray, before: bytearray, size: int) -> None:
    """Undo a line's filter (PNG specification, section 9)."""
    for at in range(len(line)) if kind else ():
        left = line[at - size] if at >= size else 0
        corner = before[at - size] if at >= size else 0
        up = before[at]
        if kind == 4:
            guess = left + up - corner
            near = min((left, up, corner), key=lambda n: abs(guess - n))
        else:
            near = {1: left, 2: up, 3: (left + up) // 2}[kind]
        line[at] = (line[at] + near) & 0xFF

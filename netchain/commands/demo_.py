"""netchain demo: the automatic proof run in the offline lab."""

from __future__ import annotations

import json
import time
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from netchain.backends.netns import starter
from netchain.commands import common
from netchain.console import Console
from netchain.demo import control, observers, page
from netchain.demo.run import Demo, Result
from netchain.lab import lab as private_internet
from netchain.lab.lab import Lab
from netchain.wire.flow import LinkType
from netchain.wire.pcap import write_pcap

COLUMNS = ("ISP", "VPN provider", "first relay", "exit", "site")


@click.command("demo")
@click.option("--pcap", type=click.Path(path_type=Path), help="Keep one capture a link there.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write the page there.")
@common.output_options
def command(pcap: Path | None, html: Path | None, as_json: bool, quiet: bool) -> int:
    """Build the chain in a private internet, fetch a page through it, show who saw what."""
    console = Console(as_json=as_json, quiet=quiet)
    start = time.monotonic()
    with common.lab_lock():
        result, lab_seconds = _run(console)
    document = result.document
    document["seconds"] = {"lab": lab_seconds, **document["seconds"]}
    document["seconds"]["all"] = round(time.monotonic() - start, 2)
    _keep(result, pcap, html)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print(_text(document))
    return result.exit_code


def _run(console: Console) -> tuple[Result, float]:
    """The demo, and how long the lab took to start (seconds); one that was not up is down again."""
    start = time.monotonic()
    was_up = any(starter.find(private_internet.SITE))
    try:
        lab = Lab.start(console.say)
        lab_seconds = round(time.monotonic() - start, 2)
        demo = Demo(lab, console.say)
        try:
            return demo.run(lambda name: common.find(name).chain), lab_seconds
        finally:
            demo.close()
    finally:
        if not was_up:
            private_internet.stop()


def _keep(result: Result, pcap: Path | None, html: Path | None) -> None:
    if pcap is not None:
        pcap.mkdir(parents=True, exist_ok=True)
        for link, frames in result.captures.items():
            records = ((c.time_ns, c.frame) for c in frames)
            write_pcap(pcap / f"{link}.pcap", records, LinkType.ETHERNET)
    if html is not None:
        html.write_text(page.render(result.document))


def _row(label: str, cells: list[str]) -> list[str]:
    """One row of the table as lines of 80 columns; long cells are wrapped."""
    columns = [[label], *(wrap(cell, 13) for cell in cells)]
    widths = [10, 14, 14, 14, 14, 14]
    return [
        "".join(part.ljust(w) for part, w in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*columns, fillvalue="")
    ]


def _text(document: dict[str, Any]) -> str:
    lines = _row("", [f"you → {c}" if c == "ISP" else c for c in COLUMNS])
    for label, cells in document["who_sees_what"].items():
        lines += _row(label, [observers.words(cells[c]) if cells[c] else "-" for c in COLUMNS])
    lines.append("Every cell comes from packets just captured.\n")
    for link in document["links"]:
        sign = "✗" if link["not_allowed"] else "✓"
        lines.append(
            f"{sign} {link['link']:<28} {link['frames']:>5} frames, "
            f"{link['not_allowed']} not allowed"
        )
    lines.append("\nControl, the same page again with the rules opened hop by hop:")
    seen = not control.doubts(document["control"])
    lines += [f"{'✓' if seen else '✗'} {line}" for line in control.words(document["control"])]
    lines += [f"✗ {doubt}" for doubt in document["doubts"]]
    seconds = document["seconds"]["all"]
    lines.append(f"\n{document['verdict']}: the page was seen from {document['page']['seen_from']}"
                 f" ({seconds} s)")  # fmt: skip
    return "\n".join(lines)

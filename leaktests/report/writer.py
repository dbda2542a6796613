"""Writes a run's reports: the only place of this package that touches files.

Everything is rendered before the first file is written. A file is written whole or not at all, and
can be read by its owner only: it tells who talks to whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from leaktests.engine.outcome import Run
from leaktests.report import data, gather, html, junit, rules, sarif
from leaktests.report import text as terminal
from leaktests.report.facts import Report
from leaktests.report.redact import redacted
from netchain import files
from netchain.model.allowed import tunnels
from netchain.wire.flow import LinkType
from netchain.wire.judge import Leak
from netchain.wire.pcap import encode

Render = Callable[[Report], str]


def of(run: Run, *, redact: bool = False) -> Report:
    """What all formats tell of the run. Raises OSError when a rule file cannot be read."""
    report = gather.report(run, rules.read())
    return redacted(report, run.chain) if redact else report


def as_text(run: Run, *, redact: bool = False) -> str:
    """The report for the terminal."""
    return terminal.render(of(run, redact=redact))


def as_json(run: Run, *, redact: bool = False) -> str:
    """The JSON document."""
    return data.render(of(run, redact=redact))


def write(
    run: Run, *, json_file: Path | None = None, junit_file: Path | None = None,
    sarif_file: Path | None = None, html_file: Path | None = None, pcap_dir: Path | None = None,
    redact: bool = False,
) -> None:  # fmt: skip
    """Write the files that are asked for.

    `pcap_dir` gets a capture for each link on which something leaked, which `redact` leaves out.
    Raises OSError that names the file.
    """
    report = of(run, redact=redact)
    wanted: list[tuple[Path | None, Render]] = [
        (json_file, data.render),
        (junit_file, junit.render),
        (sarif_file, sarif.render),
        (html_file, html.render),
    ]
    made = [(path, render(report).encode()) for path, render in wanted if path is not None]
    if pcap_dir is not None and not redact:
        made += [(pcap_dir / f"{link}.pcap", capture) for link, capture in captures(run)]
        pcap_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in made:
        _write(path, content)


def captures(run: Run) -> Iterator[tuple[str, bytes]]:
    """A pcap file of everything that leaked, link by link."""
    raw = {link.name for link in tunnels(run.chain)}
    leaks: list[Leak] = sorted(
        (found.leak for found in run.found), key=lambda leak: (leak.link, leak.time_ns)
    )
    for link, found in groupby(leaks, key=attrgetter("link")):
        link_type = LinkType.RAW_IP if link in raw else LinkType.ETHERNET
        records = ((leak.time_ns, leak.frame) for leak in found)
        yield link, b"".join(encode(records, link_type))


def _write(path: Path, content: bytes) -> None:
    """A pipe or /dev/stdout is written to, never replaced."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(content)
        else:
            files.write_private(path, content)
    except OSError as error:  # also one about the new file that was to become this one
        raise OSError(error.errno, error.strerror, str(path)) from error

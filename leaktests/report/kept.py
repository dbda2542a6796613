"""Runs that were kept: a directory each, with every report plain and redacted, and checksums."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from leaktests.engine.outcome import Run
from leaktests.report import writer
from netchain import files, paths


def keep(run: Run) -> Path:
    """Write the run's directory; where it is. Raises OSError that names the file."""
    stamp = datetime.fromtimestamp(run.started, UTC)
    directory = _runs() / f"{stamp:%Y-%m-%dT%H-%M-%S}-{run.chain.name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for stem, redact in (("report", False), ("redacted", True)):
        writer.write(
            run, json_file=directory / f"{stem}.json", html_file=directory / f"{stem}.html",
            pcap_dir=None if redact else directory, redact=redact,
        )  # fmt: skip
        files.write_private(directory / f"{stem}.txt", writer.as_text(run, redact=redact).encode())
    sums = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(directory.iterdir())
        if path.name != "SHA256SUMS"
    ]
    files.write_private(directory / "SHA256SUMS", "".join(sums).encode())
    return directory


def names() -> list[str]:
    """The kept runs, the newest first."""
    return sorted((path.name for path in _runs().iterdir() if path.is_dir()), reverse=True)


def read(name: str, suffix: str, *, redact: bool) -> bytes:
    """One report of a kept run (`suffix`: txt, json or html). OSError when it is not there."""
    return (_runs() / name / f"{'redacted' if redact else 'report'}.{suffix}").read_bytes()


def _runs() -> Path:
    directory = paths.state_dir() / "runs"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory

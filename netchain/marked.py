"""Processes of ours that go on by themselves, found again by a marker in their command lines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from netchain import paths


def identity(site: str) -> str:
    """The word behind the marker: the site, of this state directory."""
    return f"{site}@{paths.runtime_dir()}"


def find(marker: str, site: str) -> Iterator[tuple[int, list[str]]]:
    """PIDs of our own user's processes with that marker and the site's identity, and the words
    behind these."""
    wanted = [marker.encode(), identity(site).encode()]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            # The last word may be the marker alone: somebody looks for such processes with pgrep.
            at = words.index(wanted[0]) if wanted[0] in words else len(words)
            if words[at : at + 2] == wanted and entry.stat().st_uid == os.geteuid():
                yield int(entry.name), [word.decode() for word in words[at + 2 :]]

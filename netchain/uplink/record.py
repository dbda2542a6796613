"""What an uplink changed outside its site, kept beside the site's socket until it is taken back.

Written before the change is made: whoever comes after a process that was killed takes it back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from netchain import files

_NAME = "uplink.json"


def write(directory: Path, data: dict[str, Any]) -> None:
    files.write_private(directory / _NAME, json.dumps(data).encode())


def read(directory: Path) -> dict[str, Any]:
    """Empty when nothing is to be taken back."""
    try:
        data: dict[str, Any] = json.loads((directory / _NAME).read_text())
    except FileNotFoundError:
        return {}
    return data


def forget(directory: Path) -> None:
    (directory / _NAME).unlink(missing_ok=True)


def of_others(directory: Path) -> list[dict[str, Any]]:
    """The records of all other sites of this user."""
    sites = (path.parent for path in directory.parent.glob(f"*/{_NAME}"))
    return [read(site) for site in sites if site != directory]

"""Files that come with netchain: rule files and profiles."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def data_dir() -> Path:
    """The directory with firewall_rules/ and profiles/: `_data` in a wheel, else the checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "_data"
    return packaged if packaged.is_dir() else package.parent

"""The program, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys
import time


def netchain(*words: str) -> float:
    """Run it to its end, which must be a good one; seconds from its start."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "netchain", *words], check=True, capture_output=True)
    return time.monotonic() - start

"""Start of `netchain --help`: against an argparse program, and nothing heavy is imported.

The peer prints the same verbs from the same interpreter and environment; runs alternate.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netchain.cli import VERBS

sys.path.append(str(Path(__file__).parent / "parts"))

import figures

ROUNDS = 31
GOALS: figures.Goals = {"ratio_to_argparse": ("<=", 2.2), "heavy_imports": ("==", [])}
HEAVY = ("pyroute2", "scapy", "rich", "stem")
_OURS = "from netchain.cli import main\nmain()\n"
_PEER = """\
import argparse
parser = argparse.ArgumentParser(prog="netchain", description="the same verbs")
verbs = parser.add_subparsers()
for name, words in {verbs!r}.items():
    verbs.add_parser(name, help=words.replace("%", "%%"))
parser.parse_args()
"""


def heavy_imports(script: Path) -> list[str]:
    """Which of the heavy libraries `--help` imports, from -X importtime."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(script), "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "netchain" in names, "-X importtime says nothing"
    return sorted(names.intersection(HEAVY))


def start_ms(script: Path) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, check=True)
    took = (time.perf_counter() - start) * 1000
    assert all(verb.encode() in done.stdout for verb in VERBS), "the help lacks a verb"
    return took


def measure() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as directory:
        ours, peer = Path(directory, "ours.py"), Path(directory, "peer.py")
        ours.write_text(_OURS)
        peer.write_text(_PEER.format(verbs=VERBS))
        heavy = heavy_imports(ours)
        pairs = [(start_ms(ours), start_ms(peer)) for _ in range(ROUNDS)]
    return {
        "ratio_to_argparse": round(statistics.median(a / b for a, b in pairs), 3),
        "ms": round(statistics.median(a for a, _ in pairs), 1),
        "argparse_ms": round(statistics.median(b for _, b in pairs), 1),
        "heavy_imports": heavy,
    }


if __name__ == "__main__":
    figures.run(str(__doc__), measure, GOALS)

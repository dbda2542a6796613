"""The demo, cold and warm: seconds to the first page, seconds of `down`, memory of all of it.

Memory is sampled while the demo runs: the RSS of each tor relay (its median; the peak lasts for a
moment, while it compresses a new consensus), and the PSS (shared pages counted once) of the command
line, the keeper and every process below them, as /proc tells (proc(5)).
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "parts"))

import figures

GOALS: figures.Goals = {
    "first_page_cold_s": ("<=", 60),
    "first_page_warm_s": ("<=", 10),
    "down_s": ("<=", 1),
    "relay_mb": ("<=", 20),
    "whole_mb": ("<=", 600),
}
_PERIOD_S = 0.25
_MAIN = "vpn-before-tor"


class Memory:
    """The largest figures of all samples, in bytes."""

    def __init__(self, state: str) -> None:
        self._mark = f"NETCHAIN_STATE_DIR={state}".encode()
        self._ended = threading.Event()
        self.whole = self.processes = 0
        self.relays: dict[str, list[int]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            sizes = [size for process in self._ours() if (size := _sizes(process))]
            self.processes = max(self.processes, len(sizes))
            self.whole = max(self.whole, sum(pss for pss, _, _ in sizes))
            for _, rss, relay in sizes:
                if relay:
                    self.relays.setdefault(relay, []).append(rss)

    def _ours(self) -> list[Path]:
        """Every process that carries the state directory in its environment, and all below."""
        parents, ours = {}, set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[process.name] = (process / "stat").read_text().rpartition(")")[2].split()[1]
                if self._mark in (process / "environ").read_bytes():
                    ours.add(process.name)
        found = ours
        while found:
            found = {pid for pid, parent in parents.items() if parent in found} - ours
            ours |= found
        return [Path("/proc", pid) for pid in ours]


def _sizes(process: Path) -> tuple[int, int, str] | None:
    """PSS, RSS, and its torrc when it is a relay of the lab; None when it has ended."""
    with contextlib.suppress(OSError, KeyError):
        words = (process / "cmdline").read_bytes()
        lines = (process / "smaps_rollup").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        rss, pss = (int(fields[key].split()[0]) * 1024 for key in ("Rss", "Pss"))
        is_relay = words.startswith(b"tor\0") and b"/lab/tor/" in words
        return pss, rss, words.decode() if is_relay else ""
    return None


def run(state: str) -> tuple[dict[str, Any], float]:
    """One demo; its document, and the seconds from start to end of the program."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "netchain", "demo", "--json", "-q"],
        env={**os.environ, "NETCHAIN_STATE_DIR": state}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(done.stdout)
    return document, time.monotonic() - start


def first_page(document: dict[str, Any], took: float) -> float:
    """Seconds from the program's start to the page, what lies outside its phases included."""
    seconds = document["seconds"]
    phases = seconds["lab"] + seconds[f"up {_MAIN}"] + seconds[f"page demo-{_MAIN}"]
    return round(float(phases + took - seconds["all"]), 2)


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="netchain-bench-") as state:
        memory = Memory(state)
        with memory.watched():
            cold, cold_took = run(state)
            warm, warm_took = run(state)
    return {
        "first_page_cold_s": first_page(cold, cold_took),
        "first_page_warm_s": first_page(warm, warm_took),
        "whole_warm_s": round(warm_took, 2),
        "down_s": max(d["seconds"][f"down {_MAIN}"] for d in (cold, warm)),
        "relay_mb": round(max(map(statistics.median, memory.relays.values())) / 1e6, 1),
        "relay_peak_mb": round(max(map(max, memory.relays.values())) / 1e6, 1),
        "whole_mb": round(memory.whole / 1e6),
        "processes": memory.processes,
    }


if __name__ == "__main__":
    figures.run(str(__doc__), measure, GOALS)

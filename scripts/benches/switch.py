"""A client switched between two VPNs under 10,000 packets a second, and the same with ip(8).

Packets are counted inside the two VPNs' tunnels, so behind every rule of the netvm. Each switch is
whole: new link prepared and proved, cut, proved again, old link deleted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from leaktests.engine import switches
from netchain.commands import common
from netchain.console import Console

sys.path.append(str(Path(__file__).parent / "parts"))

import figures
import ip_switch
from program import netchain

GOALS: figures.Goals = {
    "wrong_wire": ("<=", 0),
    "lost_median": ("<=", 5),
    "call_ms_median": ("<=", 2.0),
}
RATE, IP_SWITCHES = 10_000, 20


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="netchain-bench-") as state:
        os.environ["NETCHAIN_STATE_DIR"] = state
        try:
            netchain("lab", "up")
            path = Path(state, "switching.toml")
            path.write_text(switches.profile())
            netchain("up", str(path))
            found = common.find_profile(str(path))
            done = list(
                switches.switches(lambda: common.site(found, Console(quiet=True)), RATE, count)
            )
        finally:
            netchain("lab", "down")
    peer = ip_switch.run(RATE, IP_SWITCHES)
    lost, calls = [one.lost for one in done], [one.cut_ms for one in done]
    return {
        "switches": len(done),
        "wrong_wire": sum(one.wrong for one in done),
        "heard": sum(one.heard for one in done),
        "lost_median": statistics.median(lost),
        "lost_max": max(lost),
        "call_ms_median": round(statistics.median(calls), 3),
        "call_ms_max": round(max(calls), 3),
        "ip_lost_median": statistics.median(one["lost"] for one in peer),
        "ip_call_ms_median": round(statistics.median(one["ms"] for one in peer), 1),
    }


if __name__ == "__main__":
    parser = figures.parser(str(__doc__))
    parser.add_argument("--count", type=int, default=1000, help="switches (1000)")
    arguments: argparse.Namespace = parser.parse_args()
    figures.report(measure(arguments.count), GOALS, as_json=arguments.json)

"""Leak tests: 10,000 probes over 10 taps, the quick suite, a sweep of every port, scapy beside it.

The chain has five firewalls between sys-net and sys-proxyvm, so that there are nine links and a
tunnel. scapy's own `sendp`, one call a packet, runs on a veth pair in a namespace of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from leaktests.catalogue import probes
from leaktests.engine import ports, sweep
from leaktests.engine.ears import arm
from leaktests.engine.shot import Markers, shots
from netchain.commands import common
from netchain.console import Console
from netchain.model.chain import Chain, QubeState
from netchain.site import Site

sys.path.append(str(Path(__file__).parent / "parts"))

import figures
from program import netchain

GOALS: figures.Goals = {
    "probes_10k_s": ("<=", 0.6),
    "quick_s": ("<=", 5.0),
    "sweep_s": ("<=", 5.0),
    "sweep_drops": ("<=", 0),
    "ratio_fixed_wait": (">=", 50),
}
PEER_S = 2.7
"""Seconds that Mullvad's tests wait for each probe (the issue's figure)."""
ROUNDS = 7
_SCAPY = """
import time
from scapy.all import Ether, IP, UDP, sendp
frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.1",
    dst="198.51.100.1") / UDP(sport=1, dport=2) / b"x"
start = time.perf_counter()
for _ in range(50):
    sendp(frame, iface="a0", verbose=False)
print((time.perf_counter() - start) / 50)
"""


def long_chain(directory: Path) -> Path:
    """The shipped chain with four more firewalls."""
    shipped = (common.data_dir() / "profiles" / "vpn-before-tor.toml").read_text()
    text = shipped.replace('"vpn-before-tor"', '"long"')
    before = "sys-net"
    for number in range(4):
        name = f"fw{number}"
        text += f'\n[[qube]]\nname = "{name}"\nrole = "firewall"\nnetvm = "{before}"\n'
        text += 'label = "green"\n'
        before = name
    head, _, tail = text.partition('role  = "firewall"\nnetvm = "sys-net"')
    path = directory / "long.toml"
    path.write_text(f'{head}role  = "firewall"\nnetvm = "{before}"{tail}')
    return path


@contextmanager
def attached(name: str) -> Iterator[tuple[Chain, Site]]:
    """A chain that is up, with all of its links heard."""
    with common.site(common.find(name), Console(quiet=True)) as (chain, site):
        site.timeline.change(0, 0, {qube.name: QubeState.READY for qube in chain.qubes})
        arm(chain, site)
        yield chain, site


def ten_thousand(name: str) -> tuple[float, int]:
    """Median seconds from the first packet to the last verdict; taps."""
    took = []
    with attached(name) as (chain, site):
        for seed in range(ROUNDS):
            markers = Markers(seed + time.time_ns() % 2**32)
            sent = shots(chain, probes(), markers)[:10_000]
            assert len(sent) == 10_000
            took.append(verdict(chain, site, sent, markers))
        return statistics.median(took), len(site.sensor.injected)


def verdict(chain: Chain, site: Site, sent: list[Any], markers: Markers) -> float:
    """Seconds of one sweep, which must be clean."""
    start = time.monotonic()
    found = sweep.run("bench", chain, site.sensor, site.timeline, sent, markers)
    took = time.monotonic() - start
    assert found.verdict == sweep.CLEAN, (found.doubts, found.found[:3], found.unsent[:3])
    return took


def every_port(name: str) -> tuple[float, int]:
    """Median seconds of the first sweeps of 131,328 packets; frames that were lost."""
    with attached(name) as (chain, site):
        markers = Markers(time.time_ns() % 2**32)
        took = [
            verdict(chain, site, list(sent), markers)
            for _, sent in islice(ports.sweeps(chain, markers), ROUNDS)
        ]
        return statistics.median(took), sum(site.sensor.tap.drops().values())


def scapy_s() -> float:
    """Seconds of scapy for one packet, a call for each."""
    script = "ip link add a0 type veth peer b0 && ip link set a0 up && ip link set b0 up && "
    script += f"exec {sys.executable} -"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script], input=_SCAPY,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="netchain-bench-") as state:
        os.environ["NETCHAIN_STATE_DIR"] = state
        try:
            netchain("lab", "up")
            netchain("up")
            quick = statistics.median(netchain("leaktest", "--quick") for _ in range(3))
            sweep_s, drops = every_port("vpn-before-tor")
            netchain("down")
            path = long_chain(Path(state))
            netchain("up", str(path))
            ten_k, taps = ten_thousand(str(path))
        finally:
            netchain("lab", "down")
    each = scapy_s()
    return {
        "probes_10k_s": round(ten_k, 3),
        "taps": taps,
        "quick_s": round(quick, 2),
        "sweep_s": round(sweep_s, 2),
        "sweep_drops": drops,
        "scapy_send_ms": round(each * 1000, 1),
        "ratio_scapy_send": round(each / (ten_k / 10_000)),
        "ratio_fixed_wait": round(PEER_S / (ten_k / 10_000)),
    }


if __name__ == "__main__":
    figures.run(str(__doc__), measure, GOALS)

"""Set-up of 5 and of 50 qubes: our keeper against `ip -batch` and `nft -f`, and the first echo.

Both sides get the same links, addresses, routes, neighbours and rule files: the peer's lines are
written from the very changes that we send, and after every build both are read back with ip and
nft and must be equal. Namespaces are made beforehand on both sides. Rounds alternate. Everything
runs in user, network, mount and PID namespaces of its own; nothing of the machine is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netchain.backends.netns.client import KeeperClient
from netchain.model import addressing
from netchain.model.chain import Chain, Role
from netchain.model.names import ChainName
from netchain.nft.fill import Facts, rules_for

sys.path.append(str(Path(__file__).parent / "parts"))

import figures
from echo_probe import await_echo, icmp_socket
from ip_batch import INSIDE, IpBatch, prepare, settle
from ours import WAN, Ours, compare, keeper, qube, timed, tree

ROUNDS = {5: 9, 50: 3}
COUNTS = {5: (1, 1, 1), 50: (4, 8, 36)}
"""VPNs, Tor gateways and workstations."""
ECHO_BUILDS = 30
ECHO_GOAL_MS, RATIO_GOAL = 5.0, 0.65
OPEN = """\
table inet netchain {
	chain open { type filter hook forward priority 0; policy accept; }
}
"""


def line(size: int) -> Chain:
    """Only firewalls, which forward: an echo can go from the last to the first."""
    qubes = [qube("q0", Role.NET)]
    qubes += [qube(f"q{n}", Role.FIREWALL, f"q{n - 1}") for n in range(1, size)]
    return Chain(ChainName("bench"), tuple(qubes), wan=WAN)


def set_up(client: KeeperClient, size: int, directory: Path) -> dict[str, float]:
    """Medians in ms a qube, and how many things were found equal."""
    chain = tree(*COUNTS[size])
    texts = {qube.name: rules_for(chain, qube, Facts(tor_uid=101)) for qube in chain.qubes}
    took: dict[str, list[float]] = {"ours": [], "peer": [], "create": [], "netns_add": []}
    compared = 0
    for number in range(ROUNDS[size]):
        ours, peer = Ours(client, chain, texts), IpBatch(directory, chain, texts)
        took["create"].append(ours.prepare())
        took["netns_add"].append(peer.prepare())
        builds: list[tuple[str, Callable[[], None]]] = [("ours", ours.build), ("peer", peer.build)]
        for name, build in builds if number % 2 else reversed(builds):
            took[name].append(timed(build))
        compared = compare(chain, ours, peer)
        ours.remove()
        peer.remove()
        settle()
    result = {name: statistics.median(all_) * 1000 / size for name, all_ in took.items()}
    ratios = [a / b for a, b in zip(took["ours"], took["peer"], strict=True)]
    return {**result, "ratio": statistics.median(ratios), "compared": compared}


# The first echo


def first_echoes(client: KeeperClient) -> list[float]:
    """Milliseconds from the end of set-up to the answer, from the last of 5 qubes to the first."""
    chain = line(5)
    texts = {qube.name: OPEN for qube in chain.qubes}
    target = str(addressing.address4(chain, "q0"))
    found = []
    for number in range(ECHO_BUILDS):
        ours = Ours(client, chain, texts)
        ours.prepare()
        sock = icmp_socket(ours.namespace("bench:q4"))
        ours.build()
        start = time.perf_counter()
        await_echo(sock, target, number)
        found.append((time.perf_counter() - start) * 1000)
        sock.close()
        ours.remove()
        settle()
    return found


def measure() -> dict[str, Any]:
    prepare()
    with keeper() as client, tempfile.TemporaryDirectory() as directory:
        results = {size: set_up(client, size, Path(directory)) for size in ROUNDS}
        echoes = first_echoes(client)
    return {
        "ratio_to_ip_batch": {str(n): round(r["ratio"], 3) for n, r in results.items()},
        "ms_per_qube": {str(n): round(r["ours"], 3) for n, r in results.items()},
        "peers": {
            "ip_batch_ms_per_qube": {str(n): round(r["peer"], 3) for n, r in results.items()},
            "ip_netns_add_ms_per_qube": round(results[50]["netns_add"], 3),
        },
        "first_echo_max_ms": round(max(echoes), 3),
        "create_ms_per_qube": round(results[50]["create"], 3),
        "compared_equal": {str(n): r["compared"] for n, r in results.items()},
        "rounds": {**{str(n): count for n, count in ROUNDS.items()}, "echo": ECHO_BUILDS},
    }


def table(found: Mapping[str, Any]) -> str:
    peers = found["peers"]
    lines = ["set-up, ms a qube    ours   ip -batch + nft -f   ratio   compared"]
    for size, ours in found["ms_per_qube"].items():
        peer, ratio = peers["ip_batch_ms_per_qube"][size], found["ratio_to_ip_batch"][size]
        compared = found["compared_equal"][size]
        lines.append(
            f"{size:>6} qubes     {ours:8.2f} {peer:20.2f} {ratio:7.2f}   {compared} equal"
            f"  (ratio: goal <= {RATIO_GOAL})"
        )
    lines.append(
        f"create, closed      {found['create_ms_per_qube']:5.2f} ms a qube"
        f" (ip netns add: {peers['ip_netns_add_ms_per_qube']:.2f}, open and bare)"
    )
    lines.append(
        f"first echo, slowest {found['first_echo_max_ms']:5.2f} ms of {ECHO_BUILDS} builds"
        f"  (goal <= {ECHO_GOAL_MS})"
    )
    return "\n".join(lines)


def main() -> None:
    parser = figures.parser(str(__doc__))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        os.execvp("unshare", [*INSIDE, sys.executable, "-P", __file__, "--inside", *sys.argv[1:]])
    found = measure()
    print(json.dumps(found) if arguments.json else table(found))
    good = found["first_echo_max_ms"] <= ECHO_GOAL_MS
    good = good and all(ratio <= RATIO_GOAL for ratio in found["ratio_to_ip_batch"].values())
    if not good:
        print(f"bench: over the goal (ratio {RATIO_GOAL}, echo {ECHO_GOAL_MS} ms)", file=sys.stderr)
    sys.exit(not good)


if __name__ == "__main__":
    main()

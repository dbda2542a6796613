"""Growth: chains of 5, 50 and 500 qubes; set-up against `ip -batch`; plan, status and down.

The chains are VPN before Tor behind one firewall, as a person with many disposables would have
them: of 5 the shipped line, of more two VPNs (the lab has two providers), two Tor gateways, and
all else workstations below those in turn.

Set-up is measured as by `scripts/bench setup` (its parts): both sides get the same, and are read
back and compared once for each size; sizes and sides alternate; no programs run. The commands are
measured as a person runs them, warm, on a chain that `netchain up` brought up in a lab of this
bench's own, with its VPN and Tor programs: `plan` must find nothing to do, `status` the chain up.
`down_ms` is the backend's part of a `down`, without the start of the command (`down_s` has both).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from netchain.backends.netns import starter
from netchain.backends.netns.client import KeeperClient
from netchain.model.chain import Chain, Role
from netchain.model.plan import Remove, plan_down
from netchain.nft.fill import Facts, rules_for

sys.path.append(str(Path(__file__).parent / "parts"))

import figures
from ip_batch import INSIDE, IpBatch, prepare, settle
from ours import Ours, compare, keeper, timed, tree

COUNTS = {5: (1, 1, 1), 50: (2, 2, 44), 500: (2, 2, 494)}
"""VPNs, Tor gateways and workstations."""
REPEATS = {5: 5, 50: 2, 500: 1}
ROUNDS, COMMANDS = 3, 3
PROVIDERS = ("lab:provider-a", "lab:provider-b")
GROWTH_GOAL, RATIO_GOAL, COMMAND_GOAL_S, DOWN_GOAL_MS = 1.2, 0.65, 1.0, 100.0
NETCHAIN = (sys.executable, "-P", "-m", "netchain")


# Set-up, inside


def set_up() -> dict[str, Any]:
    """Seconds of every build and down by size, and what the keeper's processes keep."""
    prepare()
    took: dict[int, dict[str, list[float]]] = {
        size: {"ours": [], "peer": [], "down": []} for size in COUNTS
    }
    kept: dict[int, dict[str, float]] = {}
    with keeper() as client, tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS):
            for size, counts in COUNTS.items():
                for _ in range(REPEATS[size]):
                    first = size not in kept
                    one = _round(client, tree(*counts), Path(directory), number % 2, first, kept)
                    for name, seconds in one.items():
                        took[size][name].append(seconds)
    return {"took": took, "kept": kept}


def _round(
    client: KeeperClient, chain: Chain, directory: Path, swap: int, first: bool,
    kept: dict[int, dict[str, float]],
) -> dict[str, float]:  # fmt: skip
    texts = {qube.name: rules_for(chain, qube, Facts(tor_uid=101)) for qube in chain.qubes}
    ours, peer = Ours(client, chain, texts), IpBatch(directory, chain, texts)
    ours.prepare()
    peer.prepare()
    builds: list[tuple[str, Callable[[], None]]] = [("ours", ours.build), ("peer", peer.build)]
    took = {name: timed(build) for name, build in (builds if swap else reversed(builds))}
    if first:
        compare(chain, ours, peer)
        ours.backend.observe(chain)
        kept[len(chain.qubes)] = _memory()
    took["down"] = timed(lambda: _down(ours, chain))
    ours.remove()
    peer.remove()
    settle()
    return took


def _down(ours: Ours, chain: Chain) -> None:
    steps = plan_down(ours.backend.living(chain))
    ours.backend.end(chain, [step.qube for step in steps if isinstance(step, Remove)])


def _memory() -> dict[str, float]:
    """Resident MB of the keeper and of its rule loader."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().split(b"\0")
            for name, module in (("keeper", b"keeper"), ("rule_loader", b"nft_worker")):
                if b"netchain.backends.netns." + module in words and b"unshare" not in words:
                    status = (entry / "status").read_text()
                    found[name] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return found


# The commands


def commands() -> dict[int, dict[str, float]]:
    """Seconds of each command by size."""
    with tempfile.TemporaryDirectory(prefix="nc-") as directory:
        os.environ["NETCHAIN_STATE_DIR"] = directory
        _netchain("lab", "up", "-q")
        try:
            return {size: _of_a_chain(size, Path(directory)) for size in COUNTS}
        finally:
            starter.kill("lab")


def _of_a_chain(size: int, directory: Path) -> dict[str, float]:
    path = directory / f"scale{size}.toml"
    path.write_text(profile(tree(*COUNTS[size]), f"scale{size}"))
    took = {"up_s": timed(lambda: _netchain("up", "-q", str(path)))}
    for verb, *more in (("plan", "--exit-code"), ("status",)):
        run = partial(_netchain, verb, str(path), *more)
        took[f"{verb}_s"] = min(timed(run) for _ in range(COMMANDS))
    took["down_s"] = timed(lambda: _netchain("down", "-q", str(path)))
    return took


def _netchain(*words: str) -> None:
    done = subprocess.run([*NETCHAIN, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: netchain {' '.join(words)}: {done.stderr}{done.stdout[:200]}")


def profile(chain: Chain, name: str) -> str:
    """The chain as a person would write it."""
    lines = ["schema = 1", f'name = "{name}"']
    vpns = iter(PROVIDERS)
    for qube in chain.qubes:
        lines += ["[[qube]]", f'name = "{qube.name}"', f'role = "{qube.role}"', 'label = "red"']
        lines += [f'netvm = "{qube.netvm}"'] if qube.netvm else []
        if qube.role is Role.VPN_PROXY:
            lines.append(f'vpn = {{ config = "{next(vpns)}" }}')
    return "\n".join(lines) + "\n"


def measure() -> dict[str, Any]:
    words = [*INSIDE, sys.executable, "-P", __file__, "--inside"]
    inside = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(inside.stdout)
    took = found["took"]
    best = {size: min(one["ours"]) * 1000 / int(size) for size, one in took.items()}
    ratios = {
        size: statistics.median(a / b for a, b in zip(one["ours"], one["peer"], strict=True))
        for size, one in took.items()
    }
    ran = commands()
    return {
        "ms_per_qube": _rounded(best),
        "growth_5_to_500": round(best["500"] / best["5"], 3),
        "ratio_to_ip_batch": _rounded(ratios),
        "down_ms": _rounded({size: min(one["down"]) * 1000 for size, one in took.items()}),
        **{name: _rounded({str(n): one[name] for n, one in ran.items()}) for name in ran[500]},
        "resident_mb": {size: _rounded(kept) for size, kept in found["kept"].items()},
    }


def _rounded(figures_: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures_.items()}


def missed(found: Mapping[str, Any]) -> list[str]:
    """The goals, all of 500 qubes, that were not reached."""
    bounds = {
        "growth_5_to_500": (found["growth_5_to_500"], GROWTH_GOAL),
        "ratio_to_ip_batch": (found["ratio_to_ip_batch"]["500"], RATIO_GOAL),
        "plan_s": (found["plan_s"]["500"], COMMAND_GOAL_S),
        "status_s": (found["status_s"]["500"], COMMAND_GOAL_S),
        "down_ms": (found["down_ms"]["500"], DOWN_GOAL_MS),
    }
    return [f"{name} {is_} (goal <= {goal})" for name, (is_, goal) in bounds.items() if is_ > goal]


def main() -> None:
    parser = figures.parser(str(__doc__))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(set_up()))
        return
    found = measure()
    print(json.dumps(found) if arguments.json else table(found))
    over = missed(found)
    if over:
        print(f"bench: over the goal: {'; '.join(over)}", file=sys.stderr)
    sys.exit(bool(over))


def table(found: Mapping[str, Any]) -> str:
    lines = [f"{'qubes':<20}" + "".join(f"{size:>10}" for size in COUNTS)]
    for name, values in found.items():
        if isinstance(values, dict) and name != "resident_mb":
            lines.append(f"{name:<20}" + "".join(f"{values[str(n)]:>10.3f}" for n in COUNTS))
    for name in ("keeper", "rule_loader"):
        values = [found["resident_mb"][str(size)][name] for size in COUNTS]
        lines.append(f"{name + ' MB':<20}" + "".join(f"{value:>10.1f}" for value in values))
    lines.append(
        f"goals at 500: ms_per_qube <= {GROWTH_GOAL} x that of 5 (is {found['growth_5_to_500']}),"
        f" ratio <= {RATIO_GOAL}, plan_s and status_s <= {COMMAND_GOAL_S:g}, "
        f"down_ms <= {DOWN_GOAL_MS:g}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

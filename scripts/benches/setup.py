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
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient, site_dir
from netchain.model import addressing
from netchain.model.chain import Chain, Endpoint, Qube, Role, Vpn, VpnSettings, Wan
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName
from netchain.nft.fill import TABLE, Facts, rules_for

sys.path.append(str(Path(__file__).parent / "parts"))

import figures
from echo_probe import await_echo, icmp_socket
from ip_batch import ROUTER, ROUTER_SYSCTLS, IpBatch, read_back, run, settle

WAN = Wan(
    "wan0",
    IPv4Address("100.64.0.2"),
    IPv4Address("100.64.0.1"),
    IPv6Address("2001:db8:a::2"),
    IPv6Address("2001:db8:a::1"),
)
ROUNDS = {5: 9, 50: 3}
ECHO_BUILDS = 30
ECHO_GOAL_MS, RATIO_GOAL = 5.0, 0.65
OPEN = """\
table inet netchain {
	chain open { type filter hook forward priority 0; policy accept; }
}
"""


def tree(size: int) -> Chain:
    """VPN before Tor: of 5 the shipped line, of 50 four VPNs and eight Tor gateways."""
    counts = {5: (1, 1, 1), 50: (4, 8, 36)}[size]
    qubes = [_qube("sys-net", Role.NET), _qube("sys-firewall", Role.FIREWALL, "sys-net")]
    above = ["sys-firewall"]
    for role, count in zip(
        (Role.VPN_PROXY, Role.TOR_GATEWAY, Role.WORKSTATION), counts, strict=True
    ):
        names = [f"{role}-{n}" for n in range(count)]
        qubes += [_qube(name, role, above[n % len(above)]) for n, name in enumerate(names)]
        above = names
    return Chain(ChainName("bench"), tuple(qubes), wan=WAN)


def line(size: int) -> Chain:
    """Only firewalls, which forward: an echo can go from the last to the first."""
    qubes = [_qube("q0", Role.NET)]
    qubes += [_qube(f"q{n}", Role.FIREWALL, f"q{n - 1}") for n in range(1, size)]
    return Chain(ChainName("bench"), tuple(qubes), wan=WAN)


def _qube(name: str, role: Role, netvm: str | None = None) -> Qube:
    settings = VpnSettings(
        "wireguard", Endpoint(ip_address("198.18.7.1"), 51820),
        (ip_address("10.64.0.2"),), (ip_address("10.64.0.1"),),
    )  # fmt: skip
    vpn = Vpn("lab:provider-a", settings) if role is Role.VPN_PROXY else None
    return Qube(QubeName(name), role, Label.RED, QubeName(netvm) if netvm else None, vpn)


# Ours


@contextmanager
def keeper() -> Iterator[KeeperClient]:
    """A keeper of this bench's own, started as starter.py does inside its namespaces."""
    with tempfile.TemporaryDirectory(prefix="netchain-bench-") as directory:
        os.environ["NETCHAIN_STATE_DIR"] = directory
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(site_dir("bench") / "keeper.sock"))
        listening.listen(4)
        ready, tell = os.pipe()
        words = [starter.MARKER, "bench", str(listening.fileno()), str(tell), "-", "-"]
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child",
             sys.executable, "-m", "netchain.backends.netns.keeper", *words],
            cwd="/",
            pass_fds=[listening.fileno(), tell],
        )  # fmt: skip
        os.close(tell)
        listening.close()
        assert os.read(ready, 2) == b"ok", "the keeper did not start"
        client = KeeperClient("bench")
        try:
            yield client
        finally:
            client.ask("shutdown")
            client.close()
            process.wait(20)


class Ours:
    """The chain through the backend, as `up` does it: rules, link, then open."""

    def __init__(self, client: KeeperClient, chain: Chain, texts: Mapping[QubeName, str]) -> None:
        self._backend = NetnsBackend(client, ROUTER)
        self._chain, self._texts = chain, texts

    def prepare(self) -> float:
        """All namespaces, closed; seconds for those of the qubes."""
        spec = {"hostname": "isp", "sysctls": ROUTER_SYSCTLS}
        self._backend.keeper.ask("create", node=ROUTER, spec=spec)
        start = time.perf_counter()
        for qube in self._chain.qubes:
            self._backend.create(self._chain, qube.name)
        return time.perf_counter() - start

    def build(self) -> None:
        for qube in self._chain.from_uplink():
            self._backend.load_rules(self._chain, qube.name, self._texts[qube.name])
            self._backend.attach(self._chain, qube.name)
        for qube in self._chain.from_uplink():
            self._backend.unblock(self._chain, qube.name)

    def namespace(self, node: str) -> Path:
        """The namespace's file, as this process sees it (the keeper has a PID namespace)."""
        title = f"[netchain] {node}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(title + b"\0"):
                return entry / "ns" / "net"
        raise LookupError(node)

    def remove(self) -> None:
        for qube in self._chain.qubes:
            self._backend.remove(self._chain, qube.name)
        self._backend.keeper.ask("remove", node=ROUTER)


def compare(chain: Chain, ours: Ours, peer: IpBatch) -> int:
    """How many things were compared; stops the bench where the two sides differ."""
    count = 0
    for node in (ROUTER, *(f"{chain.name}:{qube.name}" for qube in chain.qubes)):
        one, other = read_back(ours.namespace(node)), read_back(peer.namespace(node))
        if one != other:
            different = {key for key in one | other if one.get(key) != other.get(key)}
            raise SystemExit(
                f"bench: {node} differs in {sorted(different)}:\n"
                + "\n".join(f"{key}:\n  {one.get(key)}\n  {other.get(key)}" for key in different)
            )
        if node != ROUTER and f"table {TABLE} {{" not in one["rules"]:
            raise SystemExit(f"bench: {node} has no rules")
        count += sum(len(v) if isinstance(v, list) else 1 for v in one.values())
    return count


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def set_up(client: KeeperClient, size: int, directory: Path) -> dict[str, float]:
    """Medians in ms a qube, and how many things were found equal."""
    chain = tree(size)
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
    run("mount", "-t", "tmpfs", "tmpfs", "/run")  # `ip netns` keeps its files there
    run("ip", "link", "set", "lo", "up")
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
        own = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
        again = [sys.executable, "-P", __file__, "--inside", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", *own, "--kill-child", *again])
    found = measure()
    print(json.dumps(found) if arguments.json else table(found))
    good = found["first_echo_max_ms"] <= ECHO_GOAL_MS
    good = good and all(ratio <= RATIO_GOAL for ratio in found["ratio_to_ip_batch"].values())
    if not good:
        print(f"bench: over the goal (ratio {RATIO_GOAL}, echo {ECHO_GOAL_MS} ms)", file=sys.stderr)
    sys.exit(not good)


if __name__ == "__main__":
    main()

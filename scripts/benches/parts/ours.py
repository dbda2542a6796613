"""Our side of a build: a keeper of the bench's own, the chain through the backend; comparison."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from ip_batch import ROUTER, ROUTER_SYSCTLS, IpBatch, read_back

from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient, site_dir
from netchain.model.chain import Chain, Endpoint, Qube, Role, Vpn, VpnSettings, Wan
from netchain.model.label import Label
from netchain.model.names import ChainName, QubeName
from netchain.nft.fill import TABLE

WAN = Wan(
    "wan0",
    IPv4Address("100.64.0.2"),
    IPv4Address("100.64.0.1"),
    IPv6Address("2001:db8:a::2"),
    IPv6Address("2001:db8:a::1"),
)


def tree(*counts: int) -> Chain:
    """VPN before Tor, behind one firewall: so many VPNs, Tor gateways and workstations, each below
    one of those before it in turn; 1, 1, 1 is the shipped line."""
    qubes = [qube("sys-net", Role.NET), qube("sys-firewall", Role.FIREWALL, "sys-net")]
    above = ["sys-firewall"]
    for role, count in zip(
        (Role.VPN_PROXY, Role.TOR_GATEWAY, Role.WORKSTATION), counts, strict=True
    ):
        names = [f"{role}-{n}" for n in range(count)]
        qubes += [qube(name, role, above[n % len(above)]) for n, name in enumerate(names)]
        above = names
    return Chain(ChainName("bench"), tuple(qubes), wan=WAN)


def qube(name: str, role: Role, netvm: str | None = None) -> Qube:
    settings = VpnSettings(
        "wireguard", Endpoint(ip_address("198.18.7.1"), 51820),
        (ip_address("10.64.0.2"),), (ip_address("10.64.0.1"),),
    )  # fmt: skip
    vpn = Vpn("lab:provider-a", settings) if role is Role.VPN_PROXY else None
    return Qube(QubeName(name), role, Label.RED, QubeName(netvm) if netvm else None, vpn)


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
        self.backend = NetnsBackend(client, ROUTER)
        self._chain, self._texts = chain, texts

    def prepare(self) -> float:
        """All namespaces, closed; seconds for those of the qubes."""
        spec = {"hostname": "isp", "sysctls": ROUTER_SYSCTLS}
        self.backend.keeper.ask("create", node=ROUTER, spec=spec)
        start = time.perf_counter()
        for qube in self._chain.qubes:
            self.backend.create(self._chain, qube.name)
        return time.perf_counter() - start

    def build(self) -> None:
        for qube in self._chain.from_uplink():
            self.backend.load_rules(self._chain, qube.name, self._texts[qube.name])
            self.backend.attach(self._chain, qube.name)
        for qube in self._chain.from_uplink():
            self.backend.unblock(self._chain, qube.name)

    def namespace(self, node: str) -> Path:
        """The namespace's file, as this process sees it (the keeper has a PID namespace)."""
        title = f"[netchain] {node}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(title + b"\0"):
                return entry / "ns" / "net"
        raise LookupError(node)

    def remove(self) -> None:
        self.backend.end(self._chain, [qube.name for qube in reversed(self._chain.from_uplink())])
        self.backend.keeper.ask("remove", node=ROUTER)


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

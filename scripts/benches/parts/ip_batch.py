"""The peer: the same links, addresses, routes and rules by `ip -batch` and `nft -f`; read-back."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netchain.backends.netns import wiring
from netchain.backends.netns.shell import ip_line
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, UPLINK
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.sysctls import sysctls

ROUTER = "lab:isp"
ROUTER_SYSCTLS = {
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,
    "net/ipv6/conf/default/dad_transmits": 0,
}
INSIDE = (
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc",
    "--kill-child",
)  # fmt: skip
"""Before a command: it runs in namespaces of its own (see `prepare`)."""
_NETNS = Path("/run/netns")


def run(*words: str, stdin: str = "") -> str:
    done = subprocess.run(words, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def prepare() -> None:
    """What is needed inside before the first build."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")  # `ip netns` keeps its files there
    run("ip", "link", "set", "lo", "up")


class IpBatch:
    """The same with one `ip -batch` for all links and one a namespace, and one `nft -f` each."""

    def __init__(self, directory: Path, chain: Chain, texts: Mapping[QubeName, str]) -> None:
        self._chain = chain
        links, lines = _batches(chain)
        self._files = {}
        for node, commands in lines.items():
            self._files[node] = directory / f"{_plain(node)}.batch"
            self._files[node].write_text("\n".join(commands) + "\n")
        self._link_file = directory / "links.batch"
        self._link_file.write_text("\n".join(links) + "\n")
        self._rules = {}
        for name, text in texts.items():
            self._rules[name] = directory / f"{name}.nft"
            self._rules[name].write_text(text)

    def prepare(self) -> float:
        start = time.perf_counter()
        for qube in self._chain.qubes:
            run("ip", "netns", "add", _plain(f"{self._chain.name}:{qube.name}"))
        took = time.perf_counter() - start
        run("ip", "netns", "add", _plain(ROUTER))
        nodes: dict[str, Mapping[str, int]] = {ROUTER: ROUTER_SYSCTLS}
        nodes |= {f"{self._chain.name}:{q.name}": sysctls(q.role) for q in self._chain.qubes}
        for node, settings in nodes.items():
            script = "".join(f"echo {value} >/proc/sys/{key}\n" for key, value in settings.items())
            run("ip", "netns", "exec", _plain(node), "sh", "-c", f"{script}ip link set lo up\n")
        return took

    def build(self) -> None:
        for qube in self._chain.from_uplink():
            name = _plain(f"{self._chain.name}:{qube.name}")
            run("ip", "netns", "exec", name, "nft", "-f", str(self._rules[qube.name]))
        run("ip", "-batch", str(self._link_file))
        for node, file in self._files.items():
            run("ip", "-n", _plain(node), "-batch", str(file))

    def namespace(self, node: str) -> Path:
        return _NETNS / _plain(node)

    def remove(self) -> None:
        for node in self._files:
            run("ip", "netns", "del", _plain(node))


def _plain(node: str) -> str:
    return node.replace(":", ".")


def _batches(chain: Chain) -> tuple[list[str], dict[str, list[str]]]:
    """Lines that make the links, and each namespace's own lines."""
    links: list[str] = []
    lines: dict[str, list[str]] = {ROUTER: []}
    lines |= {f"{chain.name}:{qube.name}": [] for qube in chain.from_uplink()}
    for qube in chain.from_uplink():
        node = f"{chain.name}:{qube.name}"
        wires = wiring.wires(chain, qube)
        netvm = f"{chain.name}:{qube.netvm}" if qube.netvm else ROUTER
        queues = "numtxqueues 1 numrxqueues 1"
        links.append(
            f"link add name {wires.interface} address {NETVM_MAC} {queues} netns {_plain(netvm)}"
            f" type veth peer name {UPLINK} address {CLIENT_MAC} {queues} netns {_plain(node)}"
        )
        lines[netvm] += map(ip_line, wires.netvm_end)
        lines[node] += map(ip_line, [*wires.client_end, wires.label()])
    return links, lines


def read_back(namespace: Path) -> dict[str, Any]:
    """Links, addresses, routes, neighbours and rules of a namespace, in one comparable form."""

    def inside(*words: str) -> str:
        return run("nsenter", f"--net={namespace}", *words)

    links = json.loads(inside("ip", "-j", "-d", "addr"))
    state: dict[str, Any] = {
        link["ifname"]: (
            link["address"], link.get("group"), link.get("ifalias"), "UP" in link["flags"],
            sorted((a["local"], a["prefixlen"], a["scope"]) for a in link["addr_info"]),
        )
        for link in links if link["ifname"] not in ("sit0", "ip6tnl0", "tunl0")
    }  # fmt: skip
    for what in (("-4", "route"), ("-6", "route"), ("-4", "neigh"), ("-6", "neigh")):
        listed = ("show", "table", "all") if what[1] == "route" else ("show", "nud", "permanent")
        found = json.loads(inside("ip", "-j", *what, *listed) or "[]")
        state[" ".join(what)] = sorted(json.dumps(item, sort_keys=True) for item in found)
    state["rules"] = inside("nft", "-s", "list", "ruleset")
    return state


def settle() -> None:
    """Wait until the kernel has taken down the namespaces that were removed.

    It does so later and in order; when a namespace made now is gone (twice: it may have joined
    the batch at work), the ones before it are.
    """
    for _ in range(2):
        run("ip", "netns", "add", "sentinel")
        one, other = (
            ["link", "add", "sentinel", "type", "veth"],
            ["peer", "name", "x", "netns", "sentinel"],
        )
        run("ip", *one, *other)
        run("ip", "netns", "del", "sentinel")
        deadline = time.monotonic() + 30
        while Path("/sys/class/net/sentinel").exists() or _listed("sentinel"):
            if time.monotonic() > deadline:
                raise SystemExit("bench: namespaces are not taken down")
            time.sleep(0.002)  # a bounded poll: nothing announces the end of a namespace


def _listed(interface: str) -> bool:
    return any(name == interface for _, name in socket.if_nameindex())

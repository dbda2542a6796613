"""H14. Root of the workstation, or of the Tor gateway, makes a tunnel of its own past Tor.

Its own rules stay: what gets past them (every kind of tunnel, too) is the probes' work, P23 to P26.
WireGuard is there wherever netchain runs; other kinds are tried where the kernel has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from leaktests.engine.fault import Bench, Faults, NoEffectError
from netchain.backends.base import Tunnel
from netchain.lab import internet
from netchain.model.addressing import TUNNEL, address4
from netchain.model.chain import Qube, Role
from netchain.vpn import wireguard

topic = Faults(Role.TOR_GATEWAY)
_ELSEWHERE = internet.host(internet.PROVIDERS[1])
_INSIDE = "192.0.2.128/25"
"""Documentation addresses, which the tunnels claim to lead to."""
_MTU = 1420
_KINDS = ("gre", "ipip", "sit", "vxlan id 5 dstport 4789", "geneve id 5")


@topic.fault("H14", "root of the workstation makes tunnels of its own")
def of_workstation(bench: Bench) -> Iterator[None]:
    (qube, *_) = bench.chain.clients(bench.qube(Role.TOR_GATEWAY).name)
    with _tunnels(bench, qube):
        yield


@topic.fault("H14", "root of the Tor gateway makes tunnels of its own")
def of_gateway(bench: Bench) -> Iterator[None]:
    with _tunnels(bench, bench.qube(Role.TOR_GATEWAY)):
        yield


@contextmanager
def _tunnels(bench: Bench, qube: Qube) -> Iterator[None]:
    """Every kind that can be made there, each of which has tried to send and was refused."""
    with _wireguard(bench, qube):
        made = [name for n, kind in enumerate(_KINDS) if (name := _made(bench, qube, n, kind))]
        yield
        for name in made:
            bench.run(qube, "ip", "link", "del", name)


@contextmanager
def _wireguard(bench: Bench, qube: Qube) -> Iterator[None]:
    """A WireGuard that wants to reach another provider's server, and tries each second."""
    refused = _refused(bench, qube)
    chain, backend = bench.chain, bench.site.backend
    inside = (internet.host(internet.SITE).address4,)
    text = _setconf(bench, qube)
    in_kernel = backend.add_tunnel(chain, qube.name, Tunnel(TUNNEL, inside, default_route=False))
    try:
        if in_kernel:
            command = wireguard.configure(text)
            bench.run(qube, *command.argv, stdin=command.stdin)
        else:
            backend.start_service(chain, qube.name, wireguard.userspace_service(text, _MTU))
        bench.wait(lambda: _refused(bench, qube) > refused, "no WireGuard tried to send")
        yield
    finally:
        backend.stop_service(chain, qube.name, wireguard.SERVICE)
        backend.remove_tunnel(chain, qube.name, TUNNEL)


def _setconf(bench: Bench, qube: Qube) -> bytes:
    """Keys that nobody knows."""
    private, other = (bench.run(qube, "wg", "genkey").strip() for _ in range(2))
    public = bench.run(qube, "wg", "pubkey", stdin=other.encode()).strip()
    where = f"{_ELSEWHERE.address4}:{internet.VPN_PORT}"
    return (
        f"[Interface]\nPrivateKey = {private}\n[Peer]\nPublicKey = {public}\n"
        f"Endpoint = {where}\nAllowedIPs = 0.0.0.0/0\nPersistentKeepalive = 1\n"
    ).encode()


def _made(bench: Bench, qube: Qube, number: int, kind: str) -> str:
    """The name of the new tunnel, which has tried to send; "" where the kernel has no such kind."""
    name, (first, *more) = f"own{number}", kind.split()
    ends = ["remote", str(_ELSEWHERE.address4)]
    if first != "geneve":  # that takes its local address from the route
        ends += ["local", str(address4(bench.chain, qube.name))]
    try:
        bench.run(qube, "ip", "link", "add", name, "type", first, *more, *ends)
    except NoEffectError:
        return ""
    bench.run(qube, "ip", "link", "set", name, "up")
    bench.run(qube, "ip", "route", "replace", _INSIDE, "dev", name)
    refused = _refused(bench, qube)

    def tried() -> bool:
        with suppress(NoEffectError):  # bash says so when it is refused
            bench.run(qube, "bash", "-c", "echo tunnel > /dev/udp/192.0.2.200/9")
        return _refused(bench, qube) > refused

    bench.wait(tried, f"a tunnel of kind {first} did not try to send")
    return name


def _refused(bench: Bench, qube: Qube) -> int:
    """Packets that the qube's own rules have not let out, by the kernel's count."""
    text = bench.run(qube, "nft", "list", "table", "inet", "netchain")
    output = "\n".join(re.findall(r"chain output\w* {.*?\n\t}", text, re.DOTALL))
    found = re.findall(r"counter packets (\d+) bytes \d+ (?:drop|reject)", output)
    return sum(map(int, found))

"""The private internet, run: router, DNS, two VPN providers, a private Tor network, a web site.

`start` is idempotent: what is there already stays. The Tor client of a chain is started only when
every relay holds a complete consensus (facts: all flakiness came from starting it earlier).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from sys import executable
from zlib import crc32

from netchain import locks, paths
from netchain.backends.base import Service
from netchain.backends.netns import starter, wiring
from netchain.backends.netns.backend import NetnsBackend, start_service
from netchain.backends.netns.client import KeeperClient, Show
from netchain.backends.netns.switching import used_label
from netchain.errors import Exit, NetchainError, Problem
from netchain.lab import internet, tornet
from netchain.lab.provider import Provider
from netchain.model.chain import Chain, Wan
from netchain.model.names import QubeName
from netchain.nft.library import load_library
from netchain.vpn import configurations, wireguard
from netchain.vpn.wireguard import WireGuard
from netchain.vpn.wireguard_go import tun_flags, tun_problem

SITE = "lab"
PROGRAMS = {
    "wireguard-go": "wireguard-go",
    "wg": "wireguard-tools",
    "tor": "tor",
    "tor-gencert": "tor",
    "unbound": "unbound",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "curl": "curl",
}
"""Programs and the Debian packages that have them."""
_FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""For a relay: mallopt(3). It compresses each consensus once, and would keep 12 MB for ever."""
_CONSENSUS_S, _TRIES = 40.0, 4
_ROOM_BYTES, _ROOM_FILES = 16 << 20, 500  # keys, consensus, logs: 1.4 MiB in 150 files measured
Say = Callable[[str], None]
_QUIET = {
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,
    "net/ipv6/conf/default/dad_transmits": 0,
}
_FORWARD = {
    "net/ipv4/ip_forward": 1,
    "net/ipv6/conf/all/forwarding": 1,
    # No redirects: what goes from one customer of a VPN to another takes the same tunnel back.
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
}


def require() -> None:
    """All that is missing is named at once (exit 5; 1 when only the disk is too full)."""
    problems = [
        Problem("E033", f"{program} is missing", help=f"apt-get install {package}")
        for program, package in PROGRAMS.items()
        if shutil.which(program) is None
    ]
    try:
        load_library()
    except NetchainError as error:
        problems += error.problems
    tun = tun_problem()
    problems += tun.problems if tun else ()
    if problems:
        raise NetchainError(problems, Exit.MISSING)
    _require_room()


def _require_room() -> None:
    """A disk that fills up midway would only show as programs that are not ready in time."""
    directory = paths.state_dir()
    disk = os.statvfs(directory)
    free = disk.f_frsize * (disk.f_bavail if os.geteuid() else disk.f_bfree)
    short = ""
    if free < _ROOM_BYTES:
        short = f"{free >> 20} MiB are free, the lab needs {_ROOM_BYTES >> 20}"
    elif disk.f_files and disk.f_ffree < _ROOM_FILES:  # some file systems count none
        short = f"there is room for {disk.f_ffree} files, the lab needs {_ROOM_FILES}"
    if short:
        hint = "make room there, or name another directory with NETCHAIN_STATE_DIR"
        raise NetchainError(Problem("E002", short, str(directory), help=hint))


def stop() -> bool:
    """End the lab and every chain in it, whatever state it is in; whether it was up."""
    return starter.kill(SITE)


class Lab:
    """The lab of this user; one at a time."""

    def __init__(self, keeper: KeeperClient) -> None:
        self.keeper = keeper
        self.directory = paths.state_dir() / "lab"
        self.directory.mkdir(mode=0o700, exist_ok=True)

    @classmethod
    def start(cls, say: Say = lambda _: None) -> Lab:
        """The lab, running; what is missing is started.

        Raises NetchainError: exit 5 when a program, a right or a kernel feature is missing;
        OSError on a full disk. A lab that was not up before is not left half up.
        """
        require()
        was_up = any(starter.find(SITE))
        try:
            lab = cls(KeeperClient.start(SITE))
            lab._start_all(say)
        except BaseException:
            if not was_up:
                stop()
            raise
        return lab

    @classmethod
    def attach(cls, show: Show = lambda _do, _arguments: None) -> Lab:
        """The lab that is up; NetchainError (exit 3) when it is not. `show`: see KeeperClient."""
        return cls(KeeperClient(SITE, show))

    def nodes(self) -> dict[str, dict[str, object]]:
        """Every node of the lab by name: pid, services."""
        found: dict[str, dict[str, object]] = self.keeper.ask("observe", prefix="lab:")["nodes"]
        return found

    def backend(self) -> NetnsBackend:
        return NetnsBackend(self.keeper, internet.ROUTER)

    def _start_all(self, say: Say) -> None:
        tornet.prepare(self.directory / "tor")
        (self.directory / "unbound.conf").write_text(internet.unbound_conf())
        dns = internet.host(internet.DNS)
        (self.directory / "resolv.conf").write_text(f"nameserver {dns.address4}\n")
        have = self.nodes()
        if internet.ROUTER not in have:
            self.keeper.ask(
                "create", node=internet.ROUTER,
                spec={"hostname": "isp", "sysctls": {**_QUIET, **_FORWARD}},
            )  # fmt: skip
        for host in internet.HOSTS:
            if host.node not in have:
                self._create(host)
        self._start_services(say)

    def _create(self, host: internet.Host) -> None:
        sysctls = _QUIET | (_FORWARD if host.name in internet.PROVIDERS else {})
        spec = {"hostname": host.name, "sysctls": sysctls}
        self.keeper.ask("create", node=host.node, spec=spec)
        own, router = internet.wiring(host)
        changes = [[internet.ROUTER, router], [host.node, own]]
        self.keeper.ask("wire", ends=internet.ends(host), changes=changes)

    def _start_services(self, say: Say) -> None:
        running = {name for name, node in self.nodes().items() if node["services"]}
        for name in internet.PROVIDERS:
            if internet.host(name).node not in running:
                self._start_provider(Provider(name, self.directory))
        dns, site = internet.host(internet.DNS), internet.host(internet.SITE)
        unbound = ("unbound", "-d", "-c", str(self.directory / "unbound.conf"))
        web = (executable, "-I", str(Path(__file__).with_name("site.py")))
        for host, service in (
            (dns, Service("unbound", unbound)),
            (site, Service("web", web)),
        ):
            if host.node not in running:
                start_service(self.keeper, host.node, service)
        self._start_tor(running, say)

    def _start_provider(self, provider: Provider) -> None:
        node = internet.host(provider.name).node
        self.keeper.ask("rules", node=node, text=provider.rules())
        changes = [c for c in wiring.tunnel(provider.tunnel()) if "group" not in c]
        changes = [{"do": "link", "dev": "wg0", "mtu": 1420}, *changes, *provider.routes()]
        answer = self.keeper.ask(
            "tunnel", node=node, name="wg0", changes=changes, tun_flags=tun_flags()
        )
        service = provider.service()
        if answer["kernel"]:
            setup = service.setup[0]
            self.keeper.execute(node, setup.argv, setup.stdin, 10, service.user)
        else:
            start_service(self.keeper, node, service)

    def _start_tor(self, running: set[str], say: Say) -> None:
        """Start what is missing. On a slow machine a relay may miss the one vote that is soon;
        then all nodes are started again with a new schedule."""
        missing = [n for n in tornet.NODES if internet.host(n.name).node not in running]
        for _ in range(_TRIES):
            if missing:
                self._start_tor_nodes(missing)
            if self._await_consensus(say):
                return
            missing = list(tornet.NODES)
        title = f"the private Tor network agreed on nothing in {_TRIES} tries of {_CONSENSUS_S:g} s"
        hint = f"notices are in {self.directory / 'tor'}; netchain lab down, then up again"
        raise NetchainError(Problem("E062", title, help=hint), Exit.NOT_READY)

    def _start_tor_nodes(self, nodes: list[tornet.TorNode]) -> None:
        directory = self.directory / "tor"
        for node in nodes:
            self.keeper.ask("stop_service", node=internet.host(node.name).node, name="tor")
        tornet.schedule(directory, time.time())
        for node in nodes:
            file = directory / f"{node.name}.torrc"
            file.write_text(tornet.torrc(node, directory, self.directory / "resolv.conf"))
            argv = ("tor", "--defaults-torrc", "/dev/null", "-f", str(file), "--quiet")
            service = Service("tor", argv, environment=_FRUGAL)
            start_service(self.keeper, internet.host(node.name).node, service)

    def _await_consensus(self, say: Say) -> bool:
        """Wait until every node has the whole consensus; whether that was in time."""
        deadline = time.monotonic() + _CONSENSUS_S
        told = -1
        while time.monotonic() < deadline:
            directory = self.directory / "tor"
            ready = [n.name for n in tornet.NODES if tornet.consensus_complete(directory, n)]
            if len(ready) != told:
                say(f"  private Tor: {len(ready)} of {len(tornet.NODES)} have the consensus")
                told = len(ready)
            if len(ready) == len(tornet.NODES):
                return True
            time.sleep(0.05)  # a bounded poll of files that tor writes
        return False

    def resolve(self, chain: Chain, base: Path) -> tuple[Chain, dict[QubeName, WireGuard]]:
        """The chain with its uplink and its VPNs looked up, and the VPNs' secrets.

        `base` is the profile's directory, in which files of VPN configurations are looked for.
        Raises NetchainError (exit 2) with the problems of every configuration.
        """
        wan = self._wan(chain)
        customer = int(wan.port.removeprefix("wan"))
        return configurations.resolve(chain, wan, lambda config: self._vpn(config, base, customer))

    def _vpn(self, config: str, base: Path, customer: int) -> WireGuard:
        name = config.removeprefix("lab:")
        if name == config:
            return wireguard.load(base / config)
        if name not in internet.PROVIDERS:
            accepted = ", ".join(f"lab:{provider}" for provider in internet.PROVIDERS)
            raise NetchainError(Problem("E020", "the lab has no such provider", "vpn.config",
                                        repr(config), accepted))  # fmt: skip
        return Provider(name, self.directory).customer(customer)

    def _wan(self, chain: Chain) -> Wan:
        """The port that the chain is plugged into, or a free one.

        The search starts at a number of the chain's own: a port used right after another chain
        would still get what that chain's provider sends to its old customer. A free one is claimed
        before it is looked at, and until this process ends: another chain may just be starting.
        """
        for name, port in self._ports().items():
            if name.startswith(f"{chain.name}:"):
                return internet.wan(int(port.removeprefix("wan")))
        first = crc32(chain.name.encode())
        for number in ((first + n) % internet.MAX_PORTS for n in range(internet.MAX_PORTS)):
            if (claim := locks.take(f":wan{number}")) is not None:
                if f"wan{number}" not in self._ports().values():
                    return internet.wan(number)
                os.close(claim)
        title = f"all {internet.MAX_PORTS} ports of the lab's router are taken"
        raise NetchainError(Problem("E055", title, help="netchain ls; netchain down CHAIN"))

    def _ports(self) -> dict[str, str]:
        """The router's ports that are in use, by the node that is plugged in."""
        nodes = self.keeper.ask("observe", prefix="")["nodes"].items()
        found = {n: wiring.router_port(used_label(state["uplinks"])) for n, state in nodes}
        return {name: port for name, port in found.items() if port}

    def tor_lines(self) -> tuple[str, ...]:
        """What a chain's tor needs to use the lab's Tor network instead of the real one."""
        return tornet.client_torrc_lines(self.directory / "tor")

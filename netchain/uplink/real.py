"""A chain on a real uplink: a site of its own, with a router that its sys-net is plugged into.

The router is a node of the site, as the provider's is in the lab, so that a chain is built, heard
and judged there as here, and what netchain sends by itself to prove a link (canaries, the sweep)
never gets out of this computer. Outside it hangs on what the profile says; the guard (guard.py)
holds that end.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from netchain.backends.base import digest
from netchain.backends.netns import starter
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient, Show, site_dir
from netchain.errors import Exit, NetchainError, Problem, missing
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.sysctls import sysctls
from netchain.nft.library import load_library
from netchain.uplink import guards, host, outer, pasta, router
from netchain.uplink.addresses import ROUTER, WAN, Outside, static
from netchain.vpn import configurations, wireguard
from netchain.vpn.wireguard import WireGuard
from netchain.vpn.wireguard_go import tun_problem

_PROGRAMS = {
    "ip": "iproute2",
    "wg": "wireguard-tools",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
_APPEAR_S, _POLL_S = 10.0, 0.02


def site_name(chain: Chain) -> str:
    """A name that neither the lab nor another chain has."""
    return f"chain.{chain.name}"


def is_up(chain: Chain) -> bool:
    return any(starter.find(site_name(chain)))


def processes(chain: Chain) -> tuple[list[int], list[int]]:
    """PIDs of the site's keepers and guards: one each while it is up."""
    site = site_name(chain)
    return [*starter.find(site)], [pid for pid, _ in guards.find(site)]


def require_real(chain: Chain) -> None:
    """NetchainError (exit 2) for a chain of the lab, which nobody wants at boot."""
    if chain.is_lab:
        title = "a chain of the lab is not brought up at boot"
        accepted = "pasta, host, nic:NAME"
        raise NetchainError(Problem("E022", title, "uplink", '"lab"', accepted), Exit.USAGE)


def require(chain: Chain) -> None:
    """Nothing is started when something is missing; all of it is named at once (exit 5)."""
    problems: list[Problem] = []
    programs = dict(_PROGRAMS)
    if chain.with_role(Role.TOR_GATEWAY):
        programs["tor"] = "tor"
    if chain.with_role(Role.VPN_PROXY) and not Path("/sys/module/wireguard").exists():
        programs["wireguard-go"] = "wireguard-go"
    for program, package in programs.items():
        if shutil.which(program) is None:
            problems.append(
                Problem("E033", f"{program} is missing", help=f"apt-get install {package}")
            )
    for check in (load_library, lambda: _require_uplink(chain)):
        try:
            check()
        except NetchainError as error:
            problems += error.problems
    tun = tun_problem()
    problems += tun.problems if tun else ()
    if problems:
        raise NetchainError(problems, Exit.MISSING)


def _require_uplink(chain: Chain) -> None:
    if chain.uplink == "pasta":
        pasta.program()
    elif os.geteuid() != 0:
        words = f'uplink = "{chain.uplink}" changes this computer\'s network: only root may'
        raise missing("E037", words, f"sudo netchain up {chain.name}")
    elif chain.uplink == "host" and shutil.which("nft") is None:
        raise missing("E033", "nft is missing", "apt-get install nftables")


def resolve(chain: Chain, base: Path) -> tuple[Chain, dict[QubeName, WireGuard]]:
    """The chain with its uplink and its VPNs looked up, and the VPNs' secrets.

    `base` is the profile's directory, in which files of VPN configurations are looked for. Raises
    NetchainError (exit 2) with the problems of every configuration.
    """
    return configurations.resolve(chain, WAN, lambda config: _vpn(config, base))


def _vpn(config: str, base: Path) -> WireGuard:
    if config.startswith("lab:"):
        problem = Problem(
            "E020", "the lab's providers are in the lab only", "vpn.config", repr(config),
            '{ config = "secrets/NAME.toml" }, or uplink = "lab"', "docs/profiles.md",
        )  # fmt: skip
        raise NetchainError(problem, Exit.USAGE)
    return wireguard.load(base / config)


class RealSite:
    """The site of one chain, whose keeper runs."""

    def __init__(self, chain: Chain, keeper: KeeperClient) -> None:
        self.chain, self.keeper = chain, keeper
        self._site = site_name(chain)

    @classmethod
    def attach(cls, chain: Chain, show: Show = lambda _do, _arguments: None) -> RealSite:
        """The site that is up; NetchainError (exit 3) when it is not. `show`: see KeeperClient."""
        hint = f"netchain up {chain.name}"
        return cls(chain, KeeperClient(site_name(chain), show, hint))

    @classmethod
    def start(cls, chain: Chain, show: Show = lambda _do, _arguments: None) -> RealSite:
        """The site of a resolved chain, running, with its uplink open; what is missing is started.

        Raises NetchainError: exit 5 when a program, a right or a kernel feature is missing. A site
        that was not up before is not left half up.
        """
        require(chain)
        was_up = is_up(chain)
        keeper = KeeperClient.start(site_name(chain), show)
        site = cls(chain, keeper)
        try:
            site._start()
        except BaseException:
            if not was_up:
                stop(chain)
            raise
        return site

    @classmethod
    @contextmanager
    def scratch(cls, chain: Chain) -> Iterator[RealSite]:
        """A site without an uplink, to plan in while the chain's own is not up; gone afterwards."""
        name = f"plan.{chain.name}.{os.getpid()}"
        try:
            yield cls(chain, KeeperClient.start(name))
        finally:
            starter.kill(name)
            shutil.rmtree(site_dir(name), ignore_errors=True)

    def backend(self) -> NetnsBackend:
        return NetnsBackend(self.keeper, ROUTER)

    def trouble(self) -> str:
        """Words about an uplink that is not open; "" when it is."""
        if any(guards.find(self._site)):
            return ""
        said = guards.last_words(site_dir(self._site) / "uplink.log")
        return f"the uplink ({self.chain.uplink}) has ended: {said}"

    def _start(self) -> None:
        outside = self._outside()
        text = router.rules(self.chain, outside, outer.addresses())
        if ROUTER not in self.keeper.ask("observe", prefix=ROUTER)["nodes"]:
            spec = {"hostname": "uplink", "sysctls": sysctls(Role.NET)}
            self.keeper.ask("create", node=ROUTER, spec=spec, rules=text)
        else:
            self.keeper.ask("rules", node=ROUTER, text=text)
        version = digest(f"{self.chain.uplink} {outside}")
        if [found for _, found in guards.find(self._site)] != [version]:
            self._open(outside, version)

    def _outside(self) -> Outside:
        if self.chain.uplink == "pasta":
            return pasta.outside(pasta.program())
        if self.chain.uplink == "host":
            return host.outside(self.chain.name)
        assert self.chain.lan is not None
        return static(self.chain.uplink.removeprefix("nic:"), self.chain.lan)

    def _open(self, outside: Outside, version: str) -> None:
        """Let a guard open the uplink, and give the router's end of it what it needs."""
        (keeper,) = starter.find(self._site)
        spec: dict[str, Any] = {
            "chain": self.chain.name, "uplink": self.chain.uplink, "keeper": keeper,
            "router": self.keeper.pid(ROUTER), "directory": str(site_dir(self._site)),
        }  # fmt: skip
        guards.end(self._site, spec["router"])
        guards.start(self._site, version, spec)
        self._adopt(outside.interface)
        self.keeper.ask("configure", node=ROUTER, changes=list(outside.changes()))

    def _adopt(self, interface: str) -> None:
        """Wait until the router has the interface: a helper makes it when it is ready."""
        deadline = time.monotonic() + _APPEAR_S
        while not self.keeper.ask("adopt", node=ROUTER, name=interface)["index"]:
            if trouble := self.trouble():
                raise NetchainError(Problem("E038", trouble))
            if time.monotonic() > deadline:
                title = f"the uplink ({self.chain.uplink}) made no {interface} in {_APPEAR_S:g} s"
                raise NetchainError(Problem("E038", title))
            time.sleep(_POLL_S)  # a bounded poll


def stop(chain: Chain) -> bool:
    """End the site, and give back what was taken of this computer; whether it was up."""
    site = site_name(chain)
    try:
        with closing(KeeperClient(site)) as keeper:
            guards.end(site, keeper.pid(ROUTER))
    except NetchainError:  # no keeper, or none that answers: the kernel takes the rest down
        pass
    was_up = starter.kill(site)
    guards.end(site)
    return was_up

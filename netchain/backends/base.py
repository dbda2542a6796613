"""What a backend must be able to do: the one seam between the chain and where its qubes live.

Lifecycle, wiring and rules are methods of their own because a backend may have a much faster way
than running a program; everything else inside a qube goes through `execute` (and `start_service`
for programs that stay). The conformance suite in tests/backends holds every backend to this.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from netchain.errors import NetchainError
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Address, Chain
from netchain.model.names import QubeName
from netchain.model.observed import Observed
from netchain.model.snapshot import Snapshot


class User(StrEnum):
    """Who a program runs as inside a qube; a backend maps these to real uids."""

    ROOT = "root"
    TOR = "tor"
    PERSON = "person"


@dataclass(frozen=True)
class Completed:
    """What a program did: exit status, standard output and standard error (bytes)."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Command:
    """A program to run once; secrets go through `stdin`, never through `argv`."""

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True)
class Service:
    """A program that is kept running; `setup` is run after every start until it succeeds.

    `tunnel` names a tunnel interface whose descriptor the program gets (WG_TUN_FD); `owns` lists
    directories (as the qube sees them) that are given to its user before it starts; `version` is a
    digest of all that it starts with, which `observe` tells again.
    """

    name: str
    argv: tuple[str, ...]
    user: User = User.ROOT
    setup: tuple[Command, ...] = ()
    tunnel: str = ""
    owns: tuple[PurePosixPath, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True)
class Tunnel:
    """A VPN's inner interface: its addresses, MTU in bytes, and whether it takes all routes."""

    name: str
    addresses: tuple[Address, ...]
    mtu: int = 1420
    default_route: bool = True


@dataclass(frozen=True)
class Uids:
    """The numbers that rules match on; `proved` is False when one uid stands for all programs."""

    tor: int
    proved: bool


def digest(listing: str) -> str:
    """A short name for a rule listing, to compare by; "" for none."""
    return hashlib.sha256(listing.encode()).hexdigest()[:16] if listing else ""


class Backend(Protocol):
    """All methods raise NetchainError with what the backend said when something fails."""

    def observe(self, chain: Chain, only: QubeName | None = None) -> Observed:
        """What is there of the chain, read from the kernel or the hypervisor; of one qube, if one
        is named: then what its netvm has of its link is not looked at."""

    def snapshot(self, chain: Chain, qube: QubeName) -> Snapshot:
        """Rules, interfaces, routes, settings of a living qube, of one moment."""

    def events(self, chain: Chain) -> Mapping[QubeName, Sequence[socket.socket]]:
        """Of every living qube sockets that become readable when its rules or its network change;
        they must be closed when the backend is lost, for they may keep the qube's network alive."""

    def pulse(self, chain: Chain) -> str:
        """Another text whenever something else changed than what `events` tell: which qubes live,
        their programs, settings without notification. Cheap."""

    def uids(self) -> Uids: ...

    def living(self, chain: Chain) -> Observed:
        """Which qubes of the chain are there, what each is wired to and which services run; all
        else may be left out: what can be told in a fraction of the time of `observe`."""

    def check_rules(self, text: str) -> str:
        """Load a rule text where it can do no harm; the canonical listing of what it became."""

    def check_all(self, texts: Sequence[str]) -> list[str | NetchainError]:
        """The same for many texts at once: of each the digest of its listing, or its error."""

    def create(self, chain: Chain, qube: QubeName) -> None:
        """Make the qube, closed (blocked.nft) before it has any link."""

    def remove(self, chain: Chain, qube: QubeName) -> None: ...

    def end(self, chain: Chain, qubes: Sequence[QubeName]) -> None:
        """Close all of these qubes, in that order, then remove all of them. Goes on past what
        fails, and raises all of it; fine when some are not there."""

    def wiring(self, chain: Chain, qube: QubeName) -> str:
        """A digest of all that `attach` would make: addresses, routes, names; to compare by."""

    def attach(self, chain: Chain, qube: QubeName) -> None:
        """Wire the qube to its netvm, or a `net` qube to the uplink."""

    def detach(self, chain: Chain, qube: QubeName) -> None:
        """Take the qube's links to its netvms away."""

    def prepare(self, chain: Chain, qube: QubeName) -> None:
        """Wire the qube to its netvm of this chain beside the link that it has, closed at both
        ends."""

    def cut_over(self, old: Chain, new: Chain, qube: QubeName) -> tuple[int, int]:
        """Turn the qube over to the link that was prepared: the old netvm denies, its route is
        another, the new netvm allows. When that began and ended (ns, wall clock)."""

    def reroute(self, old: Chain, new: Chain, qube: QubeName) -> None:
        """Above a qube that is not reached now, make the routes to it what the new chain says."""

    def retire(self, chain: Chain, qube: QubeName) -> None:
        """Take every link of the qube away that is not in use; fine when there is none."""

    def uplink(self, chain: Chain, link: Link) -> str:
        """The name of the interface at the client's end of the link."""

    def forget_flows(self, chain: Chain, qube: QubeName, addresses: Sequence[Address]) -> None:
        """In that qube, forget every tracked flow that one of the addresses opened; without any
        address, all."""

    def block(self, chain: Chain, qube: QubeName) -> None: ...

    def unblock(self, chain: Chain, qube: QubeName) -> None: ...

    def load_rules(self, chain: Chain, qube: QubeName, text: str) -> None: ...

    def list_rules(self, chain: Chain, qube: QubeName) -> str:
        """The loaded `table inet netchain`, without counters; "" when there is none."""

    def add_tunnel(self, chain: Chain, qube: QubeName, tunnel: Tunnel) -> bool:
        """Make the tunnel interface; True when the kernel itself speaks WireGuard on it."""

    def mark_tunnel(self, chain: Chain, qube: QubeName, name: str, version: str) -> None:
        """Note the digest of what a VPN in the kernel was configured with, for `observe`."""

    def remove_tunnel(self, chain: Chain, qube: QubeName, name: str) -> None:
        """Take the tunnel interface away; fine when it is not there."""

    def start_service(self, chain: Chain, qube: QubeName, service: Service) -> None: ...

    def stop_service(self, chain: Chain, qube: QubeName, name: str) -> None:
        """End a service; fine when it does not run."""

    def execute(
        self,
        chain: Chain,
        qube: QubeName,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        user: User = User.ROOT,
    ) -> Completed:
        """Run a program in the qube to its end; NetchainError after `timeout` seconds."""

    def volume(self) -> PurePosixPath:
        """Where a qube sees its own files that outlive it (Qubes' /rw)."""

    def connect(self, chain: Chain, qube: QubeName, path: PurePosixPath) -> socket.socket:
        """A connection to a Unix socket inside the qube (tor's control socket)."""

    def taps(self, chain: Chain, links: Sequence[Link]) -> dict[str, socket.socket]:
        """An armed packet socket at the netvm's end of each link (of a tunnel, inside its VPN
        qube), by the link's name."""

    def injector(self, chain: Chain, link: Link, direction: Direction) -> socket.socket:
        """A packet socket at one end of the link that sends as the qube there would, past its own
        rules: UP at the client's end, DOWN at the netvm's. (Of a tunnel both are its one end.)"""

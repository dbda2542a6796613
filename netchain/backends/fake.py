"""A backend in memory, for tests of what is above the seam.

It keeps and refuses what a real one does (tests/backends holds both to that). It filters nothing:
rules are text, a wire is two sockets that hold a few frames, programs are the caller's functions.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from netchain.backends.base import Completed, Service, Tunnel, Uids, User, digest
from netchain.errors import NetchainError, Problem
from netchain.model.addressing import UPLINK, address4, downstream_interface
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Address, Chain, Role
from netchain.model.drift import Difference
from netchain.model.names import QubeName
from netchain.model.observed import UPLINK_PEER, Observed, ObservedQube
from netchain.model.snapshot import Snapshot
from netchain.nft.fill import TABLE

Program = Callable[[Sequence[str], bytes], Completed]


class _Wire:
    """A link: what is sent into one end is heard at the other, frame by frame."""

    def __init__(self, netvm: QubeName, wiring: str) -> None:
        self.netvm, self.wiring = netvm, wiring
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def cut(self) -> None:
        for end in self.ends:
            end.close()


@dataclass
class _Qube:
    role: Role
    blocked: bool = True
    rules: str = ""
    wire: _Wire | None = None
    spare: _Wire | None = None
    services: dict[str, str] = field(default_factory=dict)
    differs: tuple[Difference, ...] = ()


class FakeBackend:
    """Qubes of any number of chains; `programs` are what `execute` finds, by name."""

    def __init__(self, programs: Mapping[str, Program] | None = None) -> None:
        self._programs = dict(programs or {})
        self._qubes: dict[tuple[str, QubeName], _Qube] = {}

    def observe(self, chain: Chain, only: QubeName | None = None) -> Observed:
        found = {}
        for (owner, name), q in self._qubes.items():
            link, wiring = (q.wire.netvm, q.wire.wiring) if q.wire else (None, "")
            wiring = "" if q.spare else wiring
            if owner == chain.name and only in (None, name):
                found[name] = ObservedQube(
                    q.blocked, q.role, digest(q.rules), link, wiring, dict(q.services), q.differs,
                    bool(q.differs),
                )  # fmt: skip
        return Observed(found)

    def living(self, chain: Chain) -> Observed:
        return self.observe(chain)

    def events(self, chain: Chain) -> Mapping[QubeName, Sequence[socket.socket]]:  # noqa: ARG002
        """None: every change shows in the pulse."""
        return {}

    def pulse(self, chain: Chain) -> str:
        return repr(self.observe(chain))

    def alter(self, chain: Chain, qube: QubeName, *differs: Difference) -> None:
        """Change something behind everybody's back that only a new qube has not."""
        self._get(chain, qube).differs = differs

    def uids(self) -> Uids:
        return Uids(tor=101, proved=False)

    def check_rules(self, text: str) -> str:
        """The text without comments and empty lines; only its outer form is looked at."""
        lines = (line.rstrip() for line in text.splitlines())
        listing = "\n".join(line for line in lines if line and line.lstrip()[0] != "#")
        if f"table {TABLE}" not in listing or listing.count("{") != listing.count("}"):
            raise _failed(f"these are no rules: {text[:40]!r}")
        return listing + "\n"

    def check_all(self, texts: Sequence[str]) -> list[str | NetchainError]:
        found: list[str | NetchainError] = []
        for text in texts:
            try:
                found.append(digest(self.check_rules(text)))
            except NetchainError as error:
                found.append(error)
        return found

    def create(self, chain: Chain, qube: QubeName) -> None:
        new = _Qube(chain[qube].role)
        if self._qubes.setdefault((chain.name, qube), new) is not new:
            raise _failed(f"{qube} is there already")

    def remove(self, chain: Chain, qube: QubeName) -> None:
        """Its clients lose their wires, as they do when a namespace or a machine ends."""
        for (owner, name), q in self._qubes.items():
            if q.wire and owner == chain.name and qube in (name, q.wire.netvm):
                q.wire.cut()
                q.wire = None
        self._qubes.pop((chain.name, qube), None)

    def end(self, chain: Chain, qubes: Sequence[QubeName]) -> None:
        problems: list[Problem] = []
        there = [qube for qube in qubes if (chain.name, qube) in self._qubes]
        for act in (self.block, self.remove):
            for qube in there:
                try:
                    act(chain, qube)
                except NetchainError as error:
                    problems += error.problems
        if problems:
            raise NetchainError(problems)

    def wiring(self, chain: Chain, qube: QubeName) -> str:
        """Both ends' addresses and the interface are all that a wire has here."""
        ends = (qube, chain[qube].netvm)
        addresses = [str(address4(chain, end)) for end in ends if end is not None]
        return digest(" ".join([*addresses, downstream_interface(chain, qube)]))

    def attach(self, chain: Chain, qube: QubeName) -> None:
        client, netvm = self._get(chain, qube), chain[qube].netvm
        if netvm is not None:
            self._get(chain, netvm)  # it must be there
        if client.wire:
            client.wire.cut()
        client.wire = _Wire(netvm or UPLINK_PEER, self.wiring(chain, qube))

    def detach(self, chain: Chain, qube: QubeName) -> None:
        self._wire(chain, qube).cut()
        self._get(chain, qube).wire = None
        self.retire(chain, qube)

    def prepare(self, chain: Chain, qube: QubeName) -> None:
        client, netvm = self._get(chain, qube), chain[qube].netvm
        if client.wire is None or client.spare is not None or netvm is None:
            raise _failed(f"{qube} cannot get a second link")
        self._get(chain, netvm)  # it must be there
        client.spare = _Wire(netvm, self.wiring(chain, qube))

    def cut_over(self, old: Chain, new: Chain, qube: QubeName) -> tuple[int, int]:
        client, start = self._get(new, qube), time.time_ns()
        if client.spare is None:
            raise _failed(f"no link of {qube} was prepared")
        client.wire, client.spare = client.spare, client.wire
        self.reroute(old, new, qube)
        return start, time.time_ns()

    def reroute(self, old: Chain, new: Chain, qube: QubeName) -> None:  # noqa: ARG002
        for each in new.qubes:
            there = self._qubes.get((new.name, each.name))
            wire = there.wire if there else None
            if wire and wire.wiring == self.wiring(old, each.name):
                wire.wiring = self.wiring(new, each.name)

    def retire(self, chain: Chain, qube: QubeName) -> None:
        client = self._get(chain, qube)
        if client.spare is not None:
            client.spare.cut()
            client.spare = None

    def uplink(self, chain: Chain, link: Link) -> str:
        self._get(chain, link.client)
        return UPLINK

    def forget_flows(self, chain: Chain, qube: QubeName, addresses: Sequence[Address]) -> None:  # noqa: ARG002
        self._get(chain, qube)

    def block(self, chain: Chain, qube: QubeName) -> None:
        self._get(chain, qube).blocked = True

    def unblock(self, chain: Chain, qube: QubeName) -> None:
        if not self._get(chain, qube).blocked:
            raise _failed(f"{qube} is not blocked")
        self._get(chain, qube).blocked = False

    def load_rules(self, chain: Chain, qube: QubeName, text: str) -> None:
        self._get(chain, qube).rules = self.check_rules(text)

    def snapshot(self, chain: Chain, qube: QubeName) -> Snapshot:
        """Without rules that anybody could read: nothing is filtered here."""
        self._get(chain, qube)
        return Snapshot('{"nftables": [{"metainfo": {}}]}', ())

    def list_rules(self, chain: Chain, qube: QubeName) -> str:
        return self._get(chain, qube).rules

    def add_tunnel(self, chain: Chain, qube: QubeName, tunnel: Tunnel) -> bool:  # noqa: ARG002
        self._get(chain, qube)
        return False

    def mark_tunnel(self, chain: Chain, qube: QubeName, name: str, version: str) -> None:  # noqa: ARG002
        self._get(chain, qube)

    def remove_tunnel(self, chain: Chain, qube: QubeName, name: str) -> None:  # noqa: ARG002
        self._get(chain, qube)

    def start_service(self, chain: Chain, qube: QubeName, service: Service) -> None:
        self._get(chain, qube).services[service.name] = service.version

    def stop_service(self, chain: Chain, qube: QubeName, name: str) -> None:
        self._get(chain, qube).services.pop(name, None)

    def execute(
        self, chain: Chain, qube: QubeName, argv: Sequence[str], *, stdin: bytes = b"",
        timeout: float = 30, user: User = User.ROOT,  # noqa: ARG002
    ) -> Completed:  # fmt: skip
        self._get(chain, qube)
        if program := self._programs.get(argv[0]):
            return program(argv, stdin)
        return Completed(127, b"", f"{argv[0]}: not found\n".encode())

    def volume(self) -> PurePosixPath:
        return PurePosixPath("/rw")

    def connect(self, chain: Chain, qube: QubeName, path: PurePosixPath) -> socket.socket:
        self._get(chain, qube)
        raise _failed(f"nothing listens on {path} in {qube}")

    def taps(self, chain: Chain, links: Sequence[Link]) -> dict[str, socket.socket]:
        return {link.name: self._wire(chain, link.client).ends[0].dup() for link in links}

    def injector(self, chain: Chain, link: Link, direction: Direction) -> socket.socket:
        ends = self._wire(chain, link.client).ends
        return ends[1 if direction is Direction.UP else 0].dup()

    def _get(self, chain: Chain, qube: QubeName) -> _Qube:
        if found := self._qubes.get((chain.name, qube)):
            return found
        raise _failed(f"there is no {qube}")

    def _wire(self, chain: Chain, qube: QubeName) -> _Wire:
        if wire := self._get(chain, qube).wire:
            return wire
        raise _failed(f"{qube} has no uplink")


def _failed(words: str) -> NetchainError:
    return NetchainError(Problem("E052", words))

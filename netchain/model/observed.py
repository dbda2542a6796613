"""What is there: read from the kernel (or the hypervisor), never from a file of ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from netchain.model.chain import Role
from netchain.model.drift import Difference
from netchain.model.names import QubeName, number_of

UPLINK_PEER = QubeName("uplink")
"""Stands for the internet where a `net` qube's link is named; no qube of a role below has it."""


@dataclass(frozen=True)
class Program:
    """A supervised program: its process as its supervisor numbers it, and how often it began."""

    running: bool
    pid: int
    starts: int


@dataclass(frozen=True)
class ObservedQube:
    """One living qube.

    `rules` is the digest of the loaded `table inet netchain` ("" when there is none), `link` the
    netvm that its uplink interface is wired to and `wiring` the digest of all that the link was
    made with; `services` are the supervised programs that run, each with the digest of what it was
    started with. `role` is the one that it was created for; None when nobody can say. `differs` is
    all that its network has otherwise than the chain says; `altered`, that some of it goes away
    only when the qube is made anew; `programs` tell of the services' lives.
    """

    blocked: bool
    role: Role | None = None
    rules: str = ""
    link: QubeName | None = None
    wiring: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    differs: tuple[Difference, ...] = ()
    altered: bool = False
    programs: Mapping[str, Program] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Observed:
    """Every living qube of one chain; empty when the chain is down."""

    qubes: Mapping[QubeName, ObservedQube] = field(default_factory=dict)

    def apart(self, names: Collection[str]) -> tuple[Observed, Observed]:
        """Without the disposables (but for those of these names), and they alone."""
        beside = {n for n in self.qubes if number_of(n) and n not in names}
        rest = {n: have for n, have in self.qubes.items() if n not in beside}
        return Observed(rest), Observed({n: self.qubes[n] for n in beside})

"""The state of a chain for people and programs: each qube, and what differs from its profile.

`status` shows it once, `watch` again whenever it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from netchain.model import addressing
from netchain.model.chain import Chain, Qube, Role
from netchain.model.drift import Difference, shown
from netchain.model.names import number_of
from netchain.model.observed import Observed, ObservedQube, Program
from netchain.model.plan import Desired, DesiredQube, peer
from netchain.nft import difference
from netchain.site import Site
from netchain.switched import NONE
from netchain.wanted import rule_texts

APART = "apart"
"""A qube that reaches no uplink, as it was switched: it is closed, and that is as it should be."""
_AT_ONCE = 16
Progress = Callable[[Qube], tuple[int, str]]
"""How far a qube's program is: percent, 100 when it is ready, and words (readiness.progress)."""


@dataclass(frozen=True)
class QubeNow:
    """One qube: missing, blocked, apart, degraded or ready; `detail` is what its program says."""

    qube: Qube
    address: str
    state: str
    detail: str
    differs: tuple[Difference, ...]
    programs: tuple[tuple[str, Program], ...]

    @property
    def role(self) -> str:
        return "disposable" if self.qube.dispid else self.qube.role

    @property
    def data(self) -> dict[str, Any]:
        return {
            "name": self.qube.name,
            "role": self.role,
            "label": self.qube.label,
            "netvm": self.qube.netvm,
            "address": self.address,
            "state": self.state,
            "detail": self.detail,
            "differs": [vars(difference) for difference in self.differs],
            "programs": [{"name": name, **vars(program)} for name, program in self.programs],
        }

    @property
    def lines(self) -> list[str]:
        """The qube's line, and below it what differs."""
        q, netvm = (
            self.qube,
            self.qube.netvm or ("internet" if self.qube.role is Role.NET else NONE),
        )
        words = [self.detail, *(_restarts(name, p) for name, p in self.programs if p.starts > 1)]
        told = "; ".join(filter(None, words))
        line = f"▌{q.name:<14.14} {self.role:<12} {self.address:<13} {self.state:<9}"
        line = f"{line} → {netvm:<13} {told}"
        return [line.rstrip(), *(f"    {words}" for words in shown(self.differs))]


@dataclass(frozen=True)
class ChainNow:
    """Every qube of a chain, the workstation first."""

    chain: Chain
    verdict: str
    qubes: tuple[QubeNow, ...]

    @property
    def data(self) -> dict[str, Any]:
        qubes = [qube.data for qube in self.qubes]
        return {"chain": self.chain.name, "backend": self.chain.backend, "verdict": self.verdict,
                "qubes": qubes}  # fmt: skip

    @property
    def text(self) -> str:
        lines = [f"chain {self.chain.name}   {self.chain.backend}   {self.verdict}"]
        return "\n".join([*lines, *(line for qube in self.qubes for line in qube.lines)])


def look(
    chain: Chain, site: Site, wanted: Desired, observed: Observed, progress: Progress
) -> ChainNow:
    """What the chain is doing now. NetchainError when it cannot be read."""
    one = partial(_qube, chain, site, wanted, observed, progress)
    asked = [qube for qube in chain.qubes if wanted[qube.name].services]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # a program's answer may take seconds
        told = {now.qube.name: now for now in pool.map(one, asked)}
    qubes = tuple(told.get(q.name) or one(q) for q in reversed(chain.from_uplink()))
    is_up = all(qube.state in ("ready", APART) for qube in qubes) and not site.trouble
    verdict = "up" if is_up else _verdict(chain, observed)
    return ChainNow(chain, verdict, (*_disposables(chain, observed), *qubes))


def _disposables(chain: Chain, observed: Observed) -> Iterator[QubeNow]:
    """Those that live: beside the profile, and so no difference from it."""
    _, living = observed.apart({qube.name for qube in chain.qubes})
    for name, have in living.qubes.items():
        label = chain.with_role(Role.WORKSTATION)[0].label  # of whom there is one, then
        qube = Qube(name, Role.WORKSTATION, label, have.link, dispid=number_of(name))
        address = str(addressing.address4(Chain(chain.name, (qube,)), name))
        yield QubeNow(qube, address, _state(have, degraded=False, apart=False), "", (), ())


def _verdict(chain: Chain, observed: Observed) -> str:
    """Of a chain that is not up: closed only when no workstation of it is open."""
    if not observed.qubes:
        return "down"
    roles = {qube.name: qube.role for qube in chain.qubes}
    is_open = any(
        not have.blocked and roles.get(name, Role.WORKSTATION) is Role.WORKSTATION
        for name, have in observed.qubes.items()
    )
    return "degraded" if is_open else "closed"


def _qube(
    chain: Chain, site: Site, wanted: Desired, observed: Observed, progress: Progress, qube: Qube
) -> QubeNow:
    want, have = wanted[qube.name], observed.qubes.get(qube.name)
    differs = tuple(differences(chain, site, qube, want, have))
    percent, detail = 100, ""
    if have is not None and not have.blocked and not differs and want.services:
        percent, detail = progress(qube)
    address = str(addressing.address4(chain, qube.name))
    programs = tuple(have.programs.items()) if have is not None else ()
    degraded, apart = bool(differs) or percent < 100, not chain.is_connected(qube.name)
    state = _state(have, degraded=degraded, apart=apart)
    return QubeNow(qube, address, state, detail, differs, programs)


def _state(have: ObservedQube | None, *, degraded: bool, apart: bool) -> str:
    if have is None:
        return "missing"
    if have.blocked:
        return APART if apart and not degraded else "blocked"
    return "degraded" if degraded else "ready"


def differences(
    chain: Chain, site: Site, qube: Qube, want: DesiredQube, have: ObservedQube | None
) -> list[Difference]:
    """All that a living qube has otherwise than it should; of a missing one there is none."""
    if have is None:
        return []
    found = []
    if have.role != qube.role:
        found.append(Difference("role", str(have.role), str(qube.role)))
    if have.rules != want.rules:
        found += _rules(chain, site, qube)
    if have.link != peer(qube):
        found.append(Difference("netvm", have.link or "nothing", peer(qube) or "nothing"))
    elif have.wiring != want.wiring and not have.differs:
        found.append(Difference("link", "the netvm's end of it is another", "as the profile says"))
    found += have.differs
    return found + _services(want, have)


def _rules(chain: Chain, site: Site, qube: Qube) -> list[Difference]:
    """Asked for only when they differ: the listing that should be is made where nobody is."""
    backend = site.backend
    want = backend.check_rules(rule_texts(chain, backend)[qube.name])
    have = backend.list_rules(chain, qube.name)
    if not have:
        return [Difference("rules", "none", f"{qube.role}.nft")]
    return difference.differences(want, have)


def _services(want: DesiredQube, have: ObservedQube) -> list[Difference]:
    found = []
    for name in want.services:
        if not have.services.get(name):
            found.append(Difference(f"program {name}", "not running", "running"))
    for name, version in have.services.items():
        if version and name not in want.services:
            found.append(Difference("program", name))
        elif version and want.services.get(name) != version:
            words = "another configuration or tunnel", "that of the profile"
            found.append(Difference(f"program {name}", *words))
    return found


def _restarts(name: str, program: Program) -> str:
    return f"{name} was started {program.starts} times"

"""Proves a living chain: reads every qube, and proves its claims from what was read."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from netchain.backends.base import Backend
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Chain, QubeState, Role
from netchain.model.disposable import with_disposable
from netchain.model.names import QubeName, number_of
from netchain.model.observed import Observed
from netchain.nft.fields import TCP, UDP
from netchain.tor.torrc import DNS_PORT, SOCKS_PORTS, TRANS_PORT
from netchain.verify.claim import Facts, Name
from netchain.verify.proof import Finding, Verdict, prove
from netchain.vpn.wireguard import FWMARK

ASSUMPTIONS = (
    "the kernel does what its rules say, and these are all of its rules (read at one moment)",
    "programs of a qube send from its own addresses, and none has root's raw sockets",
    "answers belong to flows that these rules let begin; a qube's addresses stay as they are",
)
"""What every proof rests on; docs/verify.md says what else is not covered."""
_TOR_PORTS = {TCP: frozenset({TRANS_PORT, *SOCKS_PORTS}), UDP: frozenset({DNS_PORT})}
_ORDER = (Verdict.BROKEN, Verdict.UNPROVED, Verdict.PROVED)


@dataclass(frozen=True)
class Proof:
    """The findings about all qubes; `assumptions` is what they rest on."""

    findings: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The worst of all; nothing at all is no proof."""
        found = {finding.verdict for finding in self.findings}
        return next((one for one in _ORDER if one in found), Verdict.UNPROVED)

    @property
    def data(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict), "seconds": round(self.seconds, 3),
            "assumptions": list(self.assumptions),
            "properties": [_data(finding) for finding in self.findings],
        }  # fmt: skip


def verify(chain: Chain, backend: Backend, *, opened: bool = False) -> Proof:
    """Prove every qube of a chain that is there. NetchainError when it cannot be read.

    `opened` asks what holds once every qube that reaches the uplink is open: what lies over its
    rules while it is closed is left out.
    """
    from netchain.verify.diagrams import diagrams  # OxiDD takes 0.1 s to import; only this needs it

    start = time.perf_counter()
    observed = backend.observe(chain)
    whole = _with_disposables(chain, observed)
    states = {
        name: QubeState.BLOCKED if have.blocked and not _opens(whole, name, opened)
        else QubeState.READY for name, have in observed.qubes.items()
    }  # fmt: skip
    uids = backend.uids()
    tor_uid = uids.tor if uids.proved else None
    findings: list[Finding] = []
    for name in states:
        if (qube := whole.get(name)) is None:
            findings += _unproved(name, "it is none of the profile's")
            continue
        facts = Facts(whole, qube, states, tor_uid, FWMARK, _TOR_PORTS)
        found = backend.snapshot(whole, name)
        findings += prove(facts, found, diagrams(), opened=_opens(whole, name, opened))
    for qube in chain.qubes:
        findings += [] if qube.name in states else _unproved(qube.name, "the qube is not there")
    shared = () if uids.proved else ("nothing but tor runs as the Tor gateway's only user",)
    return Proof(tuple(findings), (*ASSUMPTIONS, *shared), time.perf_counter() - start)


def require(proof: Proof) -> None:
    """NetchainError with everything that keeps the chain from being proved."""
    if proof.verdict is Verdict.PROVED:
        return
    found = [
        Problem("E082", f"{finding.name}: {finding.verdict}: {finding.short}", finding.qube)
        for finding in proof.findings if finding.verdict is proof.verdict
    ]  # fmt: skip
    is_broken = proof.verdict is Verdict.BROKEN
    raise NetchainError(found[:10], Exit.COUNTER_EXAMPLE if is_broken else Exit.INCONCLUSIVE)


def _opens(chain: Chain, name: QubeName, opened: bool) -> bool:
    return opened and chain.get(name) is not None and chain.is_connected(name)


def _with_disposables(chain: Chain, observed: Observed) -> Chain:
    """The chain with those that live beside it, each like a workstation of its netvm."""
    for name, have in observed.qubes.items():
        like = [q for q in chain.with_role(Role.WORKSTATION) if q.netvm == have.link]
        if chain.get(name) is None and number_of(name) and like:
            chain = with_disposable(chain, like[0], number_of(name))
    return chain


def _unproved(name: QubeName, why: str) -> list[Finding]:
    return [Finding(str(name), one, Verdict.UNPROVED, why=why) for one in Name]


def _data(finding: Finding) -> dict[str, Any]:
    witness = finding.witness
    return {
        "qube": finding.qube, "name": str(finding.name), "verdict": str(finding.verdict),
        "link": finding.link, "why": finding.why, "rule": finding.rule,
        "witness": None if witness is None else {
            "came": _packet(asdict(witness.came)), "left": _packet(asdict(witness.left)),
            "rules": list(witness.rules), "assumed": list(witness.assumed),
        },
    }  # fmt: skip


def _packet(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "source": str(fields["source"]), "destination": str(fields["destination"])}

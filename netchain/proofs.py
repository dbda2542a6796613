"""Proves a living chain: reads every qube, and proves its claims from what was read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from netchain import apply
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.snapshot import Snapshot
from netchain.nft.fields import TCP, UDP
from netchain.site import Site
from netchain.tor.torrc import DNS_PORT, SOCKS_PORTS, TRANS_PORT
from netchain.verify.claims import Facts, Name
from netchain.verify.diagrams import diagrams
from netchain.verify.proof import Finding, Verdict, prove
from netchain.vpn.wireguard import FWMARK

ASSUMPTIONS = (
    "the kernel does what its rules say, and these are all of its rules (read at one moment)",
    "programs of a qube send from its own addresses, and none has root's raw sockets",
    "answers belong to flows that these rules let begin; a qube's addresses stay as they are",
)
"""What every proof rests on; docs/security.md says why, and what else is not covered."""
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


def verify(chain: Chain, site: Site) -> Proof:
    """Prove every qube of a chain that is there. NetchainError when it cannot be read."""
    start = time.perf_counter()
    backend = site.backend
    states = apply.states_of(backend.observe(chain))
    snapshots = {name: backend.snapshot(chain, name) for name in states if chain.get(name)}
    uids = backend.uids()
    findings = [
        finding for name, snapshot in snapshots.items()
        for finding in _prove(chain, name, snapshot, states, uids.tor if uids.proved else None)
    ]  # fmt: skip
    missing = [qube.name for qube in chain.qubes if qube.name not in snapshots]
    findings += [Finding(str(name), one, Verdict.UNPROVED, why="the qube is not there")
                 for name in missing for one in Name]  # fmt: skip
    shared = () if uids.proved else ("nothing but tor runs as the Tor gateway's only user",)
    return Proof(tuple(findings), (*ASSUMPTIONS, *shared), time.perf_counter() - start)


def _prove(
    chain: Chain, name: QubeName, snapshot: Snapshot, states: Mapping[QubeName, Any],
    tor_uid: int | None,
) -> list[Finding]:  # fmt: skip
    facts = Facts(chain, chain[name], states, tor_uid, FWMARK, _TOR_PORTS)
    return prove(facts, snapshot, diagrams())


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

"""Proves the claims of a qube, or finds the packet that breaks one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from netchain.errors import NetchainError
from netchain.model.chain import Role
from netchain.model.snapshot import NetDevice, Snapshot
from netchain.model.sysctls import sysctls
from netchain.nft import ruleset as nft
from netchain.nft.fill import BLOCKED_TABLE
from netchain.nft.ruleset import Ruleset
from netchain.verify.algebra import Truth
from netchain.verify.claim import Claim, Facts, Name
from netchain.verify.claims import Claims
from netchain.verify.doubts import doubts
from netchain.verify.packet import IP, IP6, Interfaces
from netchain.verify.ways import Ways
from netchain.verify.witness import Witness, assumed, seen

if TYPE_CHECKING:
    from netchain.verify.diagrams import Diagrams

FAMILIES = (IP, IP6)
BLOCKED = "inet", BLOCKED_TABLE.split()[1]
_KEPT = 50_000
"""Comparisons that are kept from one qube to the next."""
_VERSIONS = {4: IP, 6: IP6}


class Verdict(StrEnum):
    """What a proof ended with."""

    PROVED = "proved"
    BROKEN = "counter-example"
    UNPROVED = "not proved"


@dataclass(frozen=True)
class Finding:
    """What became of one claim about one qube; `why` says what broke it, or kept it from a proof.
    `rule` is the last one that let the witness pass, by its comment."""

    qube: str
    name: Name
    verdict: Verdict
    link: str = ""
    why: str = ""
    witness: Witness | None = None
    rule: str = ""

    @property
    def short(self) -> str:
        """What broke it, in one line."""
        if self.witness is None:
            return self.why
        return f"{self.witness.left} ({self.link or 'no link'}), let through by {self.rule}"


def prove(
    facts: Facts, snapshot: Snapshot, algebra: Diagrams, *, opened: bool = False
) -> list[Finding]:
    """A finding for every claim; all are unproved when the rules cannot be reasoned about.

    `opened` asks what holds when the table is gone that closes the qube.
    """
    name = str(facts.qube.name)
    if len(algebra.known) > _KEPT:
        algebra.known.clear()
    try:
        ruleset = nft.parse(snapshot.rules)
        ruleset = ruleset.without(BLOCKED) if opened else ruleset
        reasons = list(doubts(ruleset, snapshot))
        if not reasons:
            return list(_findings(facts, snapshot, ruleset, algebra))
    except NetchainError as error:
        reasons = [str(problem) for problem in error.problems]
    except (KeyError, RecursionError) as error:
        reasons = [f"its rules hold together in no way that is known: {error!r}"]
    except MemoryError:  # OxiDD's DDMemoryError is one
        reasons = ["its rules are too many to be reasoned about"]
    return [Finding(name, one, Verdict.UNPROVED, why="; ".join(reasons)) for one in Name]


def _findings(
    facts: Facts, snapshot: Snapshot, ruleset: Ruleset, algebra: Diagrams
) -> Iterator[Finding]:
    name, found = str(facts.qube.name), dict[Name, Finding]()
    interfaces = interfaces_of(snapshot)
    is_open, alive = not is_closed(ruleset), dict[str, bool]()
    for family in FAMILIES:
        ways = Ways(algebra, ruleset, name, family, interfaces)
        claims = Claims(facts, ways, snapshot)
        for claim in claims.every():
            kept = found.setdefault(claim.name, Finding(name, claim.name, Verdict.PROVED))
            if kept.verdict is Verdict.PROVED:
                found[claim.name] = _judged(name, claim, ways, ruleset, algebra)
        for words, shown in claims.alive() if is_open else ():
            alive[words] = alive.get(words, False) or not algebra.is_false(shown)
    if is_open:
        dead = [f"no packet shows that {words}" for words, shown in alive.items() if not shown]
        found[Name.ALIVE] = _told(name, Name.ALIVE, dead)
    found[Name.EXPLICIT_DROP] = _told(name, Name.EXPLICIT_DROP, [
        f"chain {' '.join(c.table)} {c.name} ends without a drop" for c in ruleset.chains
        if c.hook is not None and c.kind == "filter" and not c.ends_in_drop
    ])  # fmt: skip
    found[Name.SETTINGS] = _told(name, Name.SETTINGS, list(_settings(facts.qube.role, snapshot)))
    yield from found.values()


def _judged(qube: str, claim: Claim, ways: Ways, ruleset: Ruleset, algebra: Diagrams) -> Finding:
    """Most claims hold whatever conntrack says; only where one does not is it asked whether that is
    possible at all."""
    if not algebra.is_false(claim.bad):
        values = algebra.witness(claim.way.possible(claim.bad))
        if values is not None:
            witness, rule = _replayed(qube, claim, ways, ruleset, values)
            return Finding(qube, claim.name, Verdict.BROKEN, claim.link, "", witness, rule)
    return Finding(qube, claim.name, Verdict.PROVED)


def _replayed(
    qube: str, claim: Claim, ways: Ways, ruleset: Ruleset, values: Mapping[str, bool]
) -> tuple[Witness, str]:
    """The witness as a packet that goes the same way, and the rules that it meets."""
    truth, met = Truth(values), list[str]()
    again = Ways(
        truth, ruleset, qube, ways.family, ways.interfaces,
        lambda chain, rule, did: met.append(f"{chain.name}: {rule.comment or 'a rule'} ({did})"),
    )  # fmt: skip
    way = getattr(again, _way_of(claim, ways))
    came, left = seen(way.came), seen(way.packet)
    accepted = [each for each in met if each.endswith("(accept)")]
    rule = accepted[-1] if accepted else "no rule: a policy, or no chain at all"
    return Witness(came, left, tuple(met), assumed(values, truth.asked)), rule


def _way_of(claim: Claim, ways: Ways) -> str:
    return next(n for n in ("forwarded", "delivered", "sent") if getattr(ways, n) is claim.way)


def interfaces_of(snapshot: Snapshot) -> Interfaces:
    """The qube's interfaces, with the addresses that it takes for itself."""
    devices = snapshot.devices
    only = tuple(_only_addresses(device) for device in devices)
    own = {
        family: frozenset(
            int(a.ip) for device in devices for a in device.addresses
            if _VERSIONS[a.version] == family and not a.ip.is_loopback
        )
        for family in FAMILIES
    }  # fmt: skip
    return Interfaces(tuple(d.name for d in devices), tuple(d.group for d in devices), only, own)


def _only_addresses(device: NetDevice) -> dict[str, int]:
    """Of each family the one that the kernel takes for NAT; none where it has a choice."""
    found = {}
    for version, family in _VERSIONS.items():
        own = [int(a.ip) for a in device.addresses
               if a.version == version and not a.ip.is_link_local]  # fmt: skip
        if len(own) == 1:
            found[family] = own[0]
    return found


def is_closed(ruleset: Ruleset) -> bool:
    """Whether blocked.nft is there (that it closes is for the claims to show)."""
    return BLOCKED in ruleset.tables


def _told(qube: str, name: Name, why: list[str]) -> Finding:
    verdict = Verdict.BROKEN if why else Verdict.PROVED
    return Finding(qube, name, verdict, why="; ".join(why))


def _settings(role: Role, snapshot: Snapshot) -> Iterator[str]:
    for path, value in sysctls(role).items():
        have = snapshot.sysctls.get(path)
        if have != str(value):
            yield f"sysctl {path} is {have or 'not known'}, not {value}"

"""Which ids of the catalogue are tested, planned, or excused, and why.

Tested: a probe or a fault has the id, or `CLAIMED_ELSEWHERE` names the test. An entry there must be
true: the test would notice if the promise broke. Whatever is neither tested nor excused is planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from leaktests.catalogue import faults, probes
from leaktests.catalogue.destinations import CLASSES
from leaktests.catalogue.ids import entries


class Kind(StrEnum):
    TESTED = "tested"
    PLANNED = "planned"
    EXCUSED = "excused"


@dataclass(frozen=True)
class Status:
    """What is known of one id; `reason` says where it is tested, by what work it will be, or why
    it cannot be."""

    kind: Kind
    reason: str


_LAB, _PLATFORM = "tests/lab/test_", "tests/platform/test_"
CLAIMED_ELSEWHERE: dict[str, str] = {
    "W02": f"{_LAB}flood.py",
    "W03": f"{_PLATFORM}nft_tables.py, tests/backends/test_conformance_rules.py",
    "W07": f"{_PLATFORM}nft_contexts.py",
    "W08": f"{_PLATFORM}nft_contexts.py",
    "G01": f"{_LAB}rules_packets_vpn.py, {_LAB}rules_packets_tor.py",
    "G05": f"{_LAB}rules_packets_firewall.py, {_LAB}rules_packets_vpn.py",
    "G06": f"{_PLATFORM}first_packets.py",
    "G08": f"{_LAB}rules_packets_vpn.py",
    "G03": f"{_LAB}gateways_idle.py",
    "C02": f"{_LAB}rules_flow_table.py",
    "C08": f"{_LAB}rules_flow_table.py",
    "C12": f"{_LAB}rules_ipv6_nat.py, {_LAB}rules_packets_vpn.py",
    "C13": f"{_LAB}rules_flow_table.py",
    "V10": f"{_LAB}mend.py: another provider, and every link is judged",
    "V21": f"{_LAB}ends_under_flood.py",
    "W11": f"{_LAB}ends_under_flood.py, {_LAB}trouble.py",
    "D14": f"{_LAB}names_of_the_machine.py",
    "D15": f"{_LAB}names_of_the_machine.py",
    "D16": f"{_LAB}names_of_the_machine.py",
    "D17": f"{_LAB}names_of_the_machine.py",
    "D13": f"{_LAB}leaktest_faults.py: questions for names are in every flood",
    "T01": f"{_LAB}rules_packets_workstation.py",
    "T03": f"{_LAB}rules_packets_tor.py",
    "T04": f"{_LAB}rules_packets_tor.py",
    "T05": f"{_LAB}rules_packets_tor.py",
    "T11": f"{_LAB}demo.py",
    "V03": f"{_LAB}rules_packets_vpn.py",
    "V04": f"{_LAB}rules_packets_vpn.py",
    "H01": f"{_LAB}demo.py, {_PLATFORM}unix_sockets.py",
    "H02": f"{_PLATFORM}unix_sockets.py",
    "H13": f"{_PLATFORM}nested_powers.py, {_PLATFORM}powers.py",
    "H15": "every probe is sent by a packet socket, past the sender's own rules",
    "X01": f"{_LAB}leaktest_probes.py",
    "T06": f"{_LAB}tor_clients.py",
    "T07": f"{_LAB}tor_clients.py: no command reaches tor, so none is filtered",
    "T16": f"{_LAB}tor_clients.py",
    "H11": f"{_LAB}qube_surroundings.py",
    "H12": f"{_LAB}qube_surroundings.py",
    "X02": f"{_LAB}leaktest_doubts.py",
    "X03": f"{_LAB}leaktest_doubts.py",
    "X04": f"{_LAB}leaktest_trouble.py, {_LAB}wire_tap.py",
    "X05": "tests/unit/test_judge.py",
    "X06": f"{_LAB}leaktest_doubts.py",
    "X07": f"{_LAB}leaktest_doubts.py, {_LAB}leaktest_trouble.py",
    "X08": f"tests/unit/test_allowed.py, {_LAB}rules_allowed.py",
    "X09": f"scripts/mutants, {_LAB}mutants.py",
    "X10": "scripts/mutants names the probes that no mutant needs",
    "X11": f"{_LAB}leaktest_doubts.py (three runs), {_LAB}mutants.py, {_LAB}leaktest_probes.py",
}
"""Where ids are tested that no probe has."""

_SEE = "what would: "
EXCUSED: dict[str, str] = {
    "N13": f"dropping is not a packet of ours; {_SEE}a study of timing",
    "N14": f"packets are judged, not their timing and size; {_SEE}a study of traffic patterns",
    "H05": f"what a person copies is no packet; {_SEE}Qubes' own policies",
    "H06": f"it leaves no packet; {_SEE}tests of the hypervisor and the hardware",
    "H07": f"it takes a browser; {_SEE}a browser's tests (its packets are P11's)",
    "H08": f"it takes a browser; {_SEE}a browser's tests (its packets are D05's and R15's)",
    "H09": f"the address is inside a program's messages; {_SEE}that program's tests",
    "H10": f"the address is inside a message; {_SEE}a mail program's tests",
}
"""Cannot be tested with packets here; docs/known-issues.md names them for users."""

NEXT, OPENVPN, VMS, QUBES, UPLINK = (
    "the leak tests' next step", "OpenVPN and bridges", "virtual machines", "Qubes", "real uplinks",
)  # fmt: skip
SWITCHING, VERIFIER = "NetVM switching", "the verifier"
_LATER: dict[str, tuple[str, ...]] = {
    OPENVPN: ("D18", "D19", "G07", "G09", "N11", "R11", "T08", "T09", "V15", "V16", "V17", "V19"),
    VMS: ("H03", "H16", "H17", "T14", "V11", "W01", "W09", "W10", "W13"),
    SWITCHING: ("C03", "T17", "W05"),
    VERIFIER: ("X12",),
    QUBES: ("G04", "H04", "W12", "W14"),
    UPLINK: ("I10", "I11", "I12", "I13", "I14", "N04", "N05", "N15", "N16",
             "N18"),
}  # fmt: skip
_WORK = {id_: work for work, ids in _LATER.items() for id_ in ids}


@cache
def _with_probe() -> frozenset[str]:
    return frozenset(probe.id for probe in probes())


@cache
def _with_fault() -> frozenset[str]:
    return frozenset(fault.id for fault in faults())


def status(id_: str) -> Status:
    """KeyError for an id that the catalogue has not got."""
    name = entries()[id_].id
    here = (("probes", _with_probe()), ("faults under a flood", _with_fault()))
    found = [what for what, ids in here if name in ids]
    if found:
        return Status(Kind.TESTED, ", ".join(found))
    if name in CLASSES:
        return Status(Kind.TESTED, "a destination of every probe of the protocol matrix")
    if name in CLAIMED_ELSEWHERE:
        return Status(Kind.TESTED, CLAIMED_ELSEWHERE[name])
    if name in EXCUSED:
        return Status(Kind.EXCUSED, EXCUSED[name])
    return Status(Kind.PLANNED, _WORK.get(name, NEXT))

"""The catalogue is whole: every id once, with what became of it; nothing claimed of unknown ids.

Not covered: that a test named in CLAIMED_ELSEWHERE tests what it is named for (only that its file
is there).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from chains import PROFILES, chain

from leaktests.catalogue import faults, probes
from leaktests.catalogue.destinations import CLASSES
from leaktests.catalogue.ids import entries
from leaktests.catalogue.status import _LATER, CLAIMED_ELSEWHERE, EXCUSED, Kind, status

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"P": 34, "F": 18, "S": 12, "L": 17, "D": 25, "R": 15, "N": 18, "I": 16, "C": 14, "G": 10,
          "V": 21, "T": 18, "W": 14, "H": 17, "X": 12}  # fmt: skip
LATER = {id_ for ids in _LATER.values() for id_ in ids}


def test_every_id_is_there_once_and_in_order() -> None:
    assert Counter(entry.topic for entry in entries().values()) == COUNTS
    wanted = [f"{letter}{n:02}" for letter, count in COUNTS.items() for n in range(1, count + 1)]
    assert list(entries()) == wanted
    assert len(wanted) == 261


def test_every_id_has_a_name_of_its_own() -> None:
    names = Counter(entry.name for entry in entries().values())
    assert not [name for name, count in names.items() if count > 1 or not name]


def test_nothing_is_claimed_of_an_unknown_id() -> None:
    known = set(entries())
    assert {one.id for one in (*probes(), *faults())} <= known
    assert {*CLAIMED_ELSEWHERE, *EXCUSED, *LATER, *CLASSES} <= known


def test_no_id_is_both_tested_and_put_off() -> None:
    tested = {one.id for one in (*probes(), *faults())} | {*CLAIMED_ELSEWHERE, *CLASSES}
    assert not tested & {*EXCUSED, *LATER}
    assert not set(EXCUSED) & LATER


def test_no_two_faults_have_the_same_name() -> None:
    names = Counter((fault.id, fault.name) for fault in faults())
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_fault_needs_what_its_chain_has(profile: str) -> None:
    """The main chain has all of them, a chain without Tor or a VPN those that it can have."""
    there = [fault for fault in faults() if fault.exists(chain(profile))]
    missing = {"vpn-before-tor": "", "vpn-only": "HTVW", "tor-only": "TVCRINWF"}.get(profile, "")
    gone = {fault.id[0] for fault in faults() if fault not in there}
    assert gone == set(missing)
    assert len(there) > 10


@pytest.mark.parametrize("id_", COUNTS)
def test_every_status_has_a_reason(id_: str) -> None:
    found = [status(entry.id) for entry in entries().values() if entry.topic == id_]
    assert all(one.reason for one in found)


def test_the_packet_shaped_topics_are_tested() -> None:
    untested = {e.id for e in entries().values() if e.topic in "PFSLR"
                and status(e.id).kind is not Kind.TESTED}  # fmt: skip
    assert untested == {"R11"}


def test_the_files_of_claims_are_there() -> None:
    for where in CLAIMED_ELSEWHERE.values():
        for path in re.findall(r"tests/\S+\.py", where):
            assert (ROOT / path).is_file(), path


def test_what_is_excused_is_told_to_users() -> None:
    text = (ROOT / "docs" / "known-issues.md").read_text(encoding="utf-8")
    section = text[text.index("## What the leak tests leave out") :]
    assert not [id_ for id_ in EXCUSED if id_ not in section]

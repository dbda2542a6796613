"""A few mutants of each role, with real packets: each is noticed as it should be.

The whole set is scripts/mutants' work. Not covered here: that no other mutant is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leaktests.mutants import run
from leaktests.mutants.locks import locks
from leaktests.mutants.run import Outcome, Verdict, Wanted
from netchain.resources import data_dir

pytestmark = pytest.mark.lab

RULES = run.files(data_dir() / "firewall_rules")
ROOT = Path(__file__).resolve().parents[2]
SAMPLE = {
    "vpn-proxy:forward.3:entry-2-1-added": "redundant",  # past the tunnel: `leaving` holds
    "vpn-proxy:into_tunnel.4:without-ip-saddr-meta-l4proto": "redundant",
    "vpn-proxy:output_uplink.6:without-meta-mark": "caught",  # any program of the VPN's user
    "vpn-proxy:masquerading.1:deleted": "dead",
    "vpn-proxy:leaving.policy:accept": "redundant",
    "tor-gateway:forward.1:accepts": "caught",
    "tor-gateway:output_uplink.4:without-ip-protocol": "caught",  # tor itself, but not TCP
    "tor-gateway:into_tor.3:deleted": "dead",
    "firewall:to_uplink.4:without-meta-l4proto": "redundant",
    "firewall:forward.3:deleted": "redundant",
    "net:masquerading.1:deleted": "dead",
    "net:leaving.2:without-ip-saddr": "redundant",
    "workstation:output.7:without-ip-saddr": "caught",
    "blocked:output.1:without-oifname": "redundant",
    "blocked:prerouting.2:accepts": "redundant",
    "net:sysctl:rp_filter": "caught",
    "vpn-proxy:route:default-by-the-uplink": "caught",
}


def tried(*names: str) -> Outcome:
    every = [mutant for mutant in run.every(RULES) if mutant.id in names]
    held = [lock for lock in locks() if lock.id in names]
    assert len(every) + len(held) == len(names)
    return run.run(RULES, Wanted(every, held), lambda _name: None)


@pytest.fixture(scope="module")
def sample() -> Outcome:
    return tried(*SAMPLE)


def of(outcome: Outcome, name: str) -> Verdict:
    return next(verdict for verdict in outcome.verdicts if verdict.id == name)


def test_each_mutant_of_the_sample_is_noticed_as_it_should_be(sample: Outcome) -> None:
    assert {verdict.id: verdict.verdict for verdict in sample.verdicts} == SAMPLE


def test_the_rules_as_they_are_let_nothing_through_and_all_that_is_needed(sample: Outcome) -> None:
    """Before and after the mutants, in every scene that was used."""
    assert (sample.alarms, sample.doubts, sample.stale) == ([], [], [])
    assert sample.exit_code == 0
    assert all(count > 5000 for count in sample.shots.values())


def test_who_noticed_and_who_holds_is_told(sample: Outcome) -> None:
    unmarked = of(sample, "vpn-proxy:output_uplink.6:without-meta-mark")
    assert "R03 the VPN server's own port, by somebody else" in unmarked.probes
    assert unmarked.detail.startswith("eth0: ")
    holders = of(sample, "vpn-proxy:forward.3:entry-2-1-added").holders
    assert any(
        holder.startswith("leaving.7 (a client's address in the tunnel") for holder in holders
    )


def test_the_same_verdicts_come_out_again(sample: Outcome) -> None:
    names = [name for name in SAMPLE if name.startswith(("workstation:", "blocked:", "firewall:"))]
    again = tried(*names)
    assert again.verdicts == [verdict for verdict in sample.verdicts if verdict.id in names]


def mutants(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leaktests.mutants", *words], cwd=ROOT, text=True,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip


def with_rules(tmp_path: Path, role: str, old: str, new: str) -> Path:
    """Our rule files, one of them edited."""
    directory = tmp_path / "rules"
    directory.mkdir()
    for name, file in RULES.items():
        (directory / f"{name}.nft").write_text(file.text)
    text = RULES[role].text
    assert old in text
    (directory / f"{role}.nft").write_text(text.replace(old, new))
    return directory


def test_rules_that_leak_are_a_false_alarm_and_no_mutant_hides_it(tmp_path: Path) -> None:
    """Another set of role files is judged, unedited, too."""
    directory = with_rules(tmp_path, "workstation", "ip saddr @self4 ip protocol { tcp, udp } ", "")
    name = "workstation:forward.1:deleted"
    done = mutants("--json", "--rules", str(directory), "-k", name)
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 10
    assert said["false_alarms"] > 0


def test_further_edits_are_judged_by_what_is_expected_of_them(tmp_path: Path) -> None:
    path = tmp_path / "further.toml"
    path.write_text(
        """
        [[mutant]]
        name = "anybody-speaks"
        role = "workstation"
        text = "what the netvm carries"
        replacement = ""
        """.replace('"what the netvm carries"', '"ip protocol { tcp, udp }"').replace(
            'replacement = ""', 'replacement = "ip protocol != 255"\nexpect = "dead"'
        )
    )
    done = mutants("--json", "--mutants", str(path), "-k", "workstation:further:")
    (missed,) = json.loads(done.stdout)["missed"]
    assert done.returncode == 10
    assert (missed["verdict"], missed["expected"]) == ("caught", "dead")


def test_bad_words_are_told_and_nothing_is_tried(tmp_path: Path) -> None:
    for words in (("-k", "no such mutant"), ("--rules", str(tmp_path)), ("--mutants", "/nowhere")):
        done = mutants(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("scripts/mutants: ")

"""`netchain lab fault`: a trainer breaks something, looks, and takes it back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from commands import Netchain

pytestmark = pytest.mark.lab


def test_without_a_name_it_lists_them(netchain: Netchain) -> None:
    told = netchain("lab", "fault").stdout.splitlines()
    assert "V01 the VPN's program is killed" in told and len(told) > 40


@pytest.mark.parametrize("words", ["V04", "nosuch", "V01 and"])
def test_a_name_that_does_not_mean_one_fault(netchain: Netchain, words: str) -> None:
    done = netchain("lab", "fault", words)
    assert done.returncode == 2
    assert done.stderr.startswith("error[E059]")


def test_it_is_broken_until_enter(up: Netchain) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "netchain", "lab", "fault", "V05"], env=up.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("broken: the VPN's server falls silent.")
    silent = up.in_network("lab:provider-a", "nft", "list", "ruleset")
    assert "silent" in silent
    _, said = process.communicate("\n", timeout=30)
    assert process.returncode == 0, said
    assert "silent" not in up.in_network("lab:provider-a", "nft", "list", "ruleset")
    assert up("up").returncode == 0
    assert json.loads(up.page())["seen_from"]

"""A client is switched to and fro between two VPN qubes while a program in it floods.

Not covered: a thousand switches, and how many packets are lost (`scripts/bench switch`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Netchain

from leaktests.engine import switches
from netchain.commands import common
from netchain.console import Console

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
RATE, COUNT = 2000, 6


def test_no_packet_goes_by_a_wrong_wire(
    netchain: Netchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
    path = tmp_path / "switching.toml"
    path.write_text(switches.profile())
    assert netchain("lab", "up").returncode == 0
    assert netchain("up", str(path)).returncode == 0
    try:
        found = common.find_profile(str(path))
        attached = lambda: common.site(found, Console(quiet=True))  # noqa: E731
        done = list(switches.switches(attached, RATE, COUNT))
    finally:
        netchain("down", str(path))
    assert [one.wrong for one in done] == [0] * COUNT
    assert all(one.heard > 0 for one in done)

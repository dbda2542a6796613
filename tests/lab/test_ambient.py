"""The listener of the lab tests hears: silence that it reports is silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from ambient import Ambient
from commands import CHAIN, Netchain

from netchain.demo.control import OPEN_RULES

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]


def test_it_hears_nothing_forbidden_while_a_page_is_fetched(up: Netchain) -> None:
    heard = Ambient(str(up.state))
    heard.follow(CHAIN)
    assert up.page()
    assert heard.leaks() == []
    frames = {link: len(found) for link, found in heard._heard[CHAIN].items()}
    assert len(frames) == 6 and min(frames.values()) > 5, frames


def test_it_hears_what_an_opened_gateway_lets_pass(up: Netchain, tmp_path: Path) -> None:
    rules = tmp_path / "open.nft"
    rules.write_text(OPEN_RULES)
    heard = Ambient(str(up.state))
    heard.follow(CHAIN)
    up.in_network(f"{CHAIN}:anon-whonix", "nft", "-f", str(rules))
    dig = "exec 3<>/dev/udp/192.0.2.1/5353; echo x >&3"
    try:
        up.in_network(f"{CHAIN}:anon-whonix", "bash", "-c", dig)
    finally:
        assert up("up").returncode == 0
    leaks = heard.leaks()
    assert any("anon-whonix--sys-whonix up" in leak and ":5353" in leak for leak in leaks), leaks

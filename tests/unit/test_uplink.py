"""Real uplinks as data: the router's rules, the helpers' command lines, the addresses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

import pytest

from netchain.errors import Exit, NetchainError
from netchain.model import profile
from netchain.model.chain import Chain, Lan
from netchain.nft.check import problems_of
from netchain.nft.ruleset import parse
from netchain.resources import data_dir
from netchain.uplink import pasta, router
from netchain.uplink.addresses import WAN, private, static

HOST = tuple(map(ip_address, ("127.0.0.1", "192.0.2.2", "::1", "2001:db8:1::2", "fe80::1")))
LAN = 'lan = { address = "192.0.2.7/24", gateway = "192.0.2.1"'


def shipped_text(lines: str) -> str:
    text = (data_dir() / "profiles" / "vpn-only.toml").read_text(encoding="utf-8")
    return text.replace('uplink  = "lab"', lines)


@pytest.mark.parametrize("name", ["vpn-before-tor", "tor-only", "vpn-only"])
def test_the_routers_sets_are_golden(
    shipped: Callable[[str], Chain], golden: Callable[[str, str], None], name: str
) -> None:
    text = router.rules(shipped(name).resolved({}, WAN), private(1, ""), HOST)
    golden(f"uplink/{name}-router.txt", "".join(f"{x}\n" for x in text.splitlines() if "add " in x))


@pytest.mark.lab
def test_the_router_is_closed_to_what_no_rule_decides(shipped: Callable[[str], Chain]) -> None:
    text = router.rules(shipped("tor-only").resolved({}, WAN), private(1, ""), HOST)
    script = "nft -f - && nft -j list ruleset"
    words = ["unshare", "--user", "--map-root-user", "--net", "sh", "-ec", script]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    assert problems_of(parse(done.stdout)) == []


@pytest.mark.parametrize("name", ["pasta", "slirp4netns"])
def test_the_helpers_words_are_golden(
    golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    words = pasta.argv(name, "/proc/7/ns/user", "/proc/8/ns/net")
    golden(f"uplink/{name}.txt", "".join(f"{word}\n" for word in words))


def test_chains_on_one_computer_have_addresses_of_their_own() -> None:
    every = [private(number, "") for number in range(1, 256)]
    assert len({found.address4 for found in every} | {found.gateway4 for found in every}) == 510
    assert len({found.address6 for found in every} | {found.gateway6 for found in every}) == 510
    inner = {WAN.address4, WAN.gateway4, WAN.address6, WAN.gateway6}
    assert not inner & {a for f in every for a in (f.address4.ip, f.gateway4, f.gateway6)}


def test_a_profile_gives_a_nic_its_addresses() -> None:
    chain = profile.parse(shipped_text(f'uplink = "nic:eth1.5"\n{LAN} }}'), "x")
    assert chain.uplink == "nic:eth1.5" and not chain.is_lab
    assert chain.lan == Lan(IPv4Interface("192.0.2.7/24"), IPv4Address("192.0.2.1"))
    both = f'{LAN}, address6 = "2001:db8::7/64", gateway6 = "2001:db8::1" }}'
    chain = profile.parse(shipped_text(f'uplink = "nic:eth1"\n{both}'), "x")
    assert chain.lan is not None
    assert chain.lan.address6 == IPv6Interface("2001:db8::7/64")
    outside = static("eth1", replace(chain.lan, address6=None, gateway6=None))
    assert {change["dev"] for change in outside.changes()} == {"eth1"}
    assert chain.lan.gateway6 == IPv6Address("2001:db8::1")


@pytest.mark.parametrize(
    ("lines", "where"),
    [('uplink = "nic:eth1"', "lan"), ('uplink = "nic:NAME"', "uplink"),
     ('uplink = "nic:"', "uplink"), ('uplink = "nic:a b"', "uplink"),
     ('uplink = "nic:abcdefghijklmnop"', "uplink"),
     (f'uplink = "pasta"\n{LAN} }}', "lan"), (f'uplink = "nic:e"\n{LAN}, dns = 1 }}', "lan.dns"),
     ('uplink = "nic:e"\nlan = { address = "192.0.2.7/24" }', "lan.gateway"),
     ('uplink = "nic:e"\nlan = { address = "news.lab", gateway = 1 }', "lan.address"),
     (f'uplink = "nic:e"\n{LAN}, gateway6 = "fe80::1%e" }}', "lan.gateway6")],
)  # fmt: skip
def test_a_real_uplink_that_cannot_be_is_refused(lines: str, where: str) -> None:
    with pytest.raises(NetchainError) as caught:
        profile.parse(shipped_text(lines), "x")
    assert caught.value.exit_code is Exit.USAGE
    assert f"x: {where}" in {problem.where for problem in caught.value.problems}

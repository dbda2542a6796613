"""Redaction: no outside address in any format, the same word everywhere; and never a key.

Not covered: names that a person chose for chain and qubes, which are shown on purpose.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
import reports
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import CHAIN, RUNS

from leaktests.engine.outcome import Run
from leaktests.engine.sweep import Found
from leaktests.report import as_text, data, gather, html, junit, rules, sarif, text, write
from leaktests.report.redact import Words, redacted
from netchain.model.chain import Address, Chain, Endpoint, Role, VpnSettings, Wan
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard
from netchain.wire import build

RULES = rules.read()
FORMATS: list[Callable[[Any], str]] = [
    data.render, html.render, junit.render, sarif.render, text.render
]  # fmt: skip
NUMBERS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8}")

outside4 = st.integers(int(IPv4Address("11.0.0.0")), int(IPv4Address("99.255.255.255"))).map(
    IPv4Address
)
outside6 = st.integers(0, (1 << 120) - 1).map(lambda n: IPv6Address(0x2A << 120 | n))
keys = st.binary().map(lambda raw: base64.b64encode(hashlib.sha256(raw).digest()).decode())


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """The chain vpn-before-tor with other addresses outside."""
    four = st.lists(outside4, min_size=5, max_size=5, unique=True)
    own, router, end4, tunnel4, dns = draw(four)
    own6, router6, end6, tunnel6 = draw(st.lists(outside6, min_size=4, max_size=4, unique=True))
    endpoint = Endpoint(draw(st.sampled_from([end4, end6])), 51820)
    settings_ = VpnSettings("wireguard", endpoint, (tunnel4, tunnel6), (dns,))
    vpns = {qube.name: settings_ for qube in CHAIN.with_role(Role.VPN_PROXY)}
    return CHAIN.resolved(vpns, Wan("wan0", own, router, own6, router6))


def secrets_of(chain: Chain) -> set[Address]:
    vpn = chain["sys-proxyvm"].vpn
    assert vpn is not None and vpn.settings is not None and chain.wan is not None
    wan = chain.wan
    assert wan.address6 is not None and wan.gateway6 is not None
    own = (wan.address4, wan.gateway4, wan.address6, wan.gateway6)
    return {*own, vpn.settings.endpoint.address, *vpn.settings.addresses, *vpn.settings.dns}


def run_about(chain: Chain, others: list[Address]) -> Run:
    """A run that names every address of the chain outside, and others, wherever words can be."""
    hidden = [*secrets_of(chain), *others]
    wan = chain.wan
    assert wan is not None and wan.address6 is not None
    found = []
    for address in hidden:
        source: Address = wan.address4 if address.version == 4 else wan.address6
        packet = build.udp(source, address, 40000, 53, address.packed)
        found.append(Found(reports.leak("isp", 5, packet), None))
    words = tuple(f"{a}, ({a}) [{a}]:443 to={a}: {a}/32 {a}%eth0." for a in hidden)
    doubtful = reports.sweep("ready", *found, doubts=words)
    trial = replace(reports.clean().trials[0], doubts=words, found=tuple(found))
    return replace(
        reports.clean(), chain=chain, sweeps=(doubtful,), trials=(trial,), doubts=words,
        skipped=tuple((word, word) for word in words), command=" ".join(words),
        conditions=dict(zip(words, words, strict=True)),
    )  # fmt: skip


def shown_in(text_: str) -> set[Address]:
    """Every address that can be read in the text, whatever is around it."""
    found: set[Address] = set()
    for match in NUMBERS.finditer(text_):
        for end in range(len(match[0]), 1, -1):
            try:
                found.add(ip_address(match[0][:end]))
                break
            except ValueError:
                continue
    return found


@settings(max_examples=25, deadline=None)
@given(chains(), st.lists(st.one_of(outside4, outside6), max_size=3, unique=True))
def test_no_outside_address_is_in_any_format(chain: Chain, others: list[Address]) -> None:
    run = run_about(chain, others)
    hidden = secrets_of(chain) | set(others)
    whole = gather.report(run, RULES)
    report = redacted(whole, chain)
    for render in FORMATS:
        assert hidden <= shown_in(render(whole)), "this test can see addresses"
        shown = render(report)
        assert not shown_in(shown) & hidden
        assert not [a for a in hidden if str(a) in shown or a.packed.hex() in shown]
        assert "endpoint-1" in shown and "base64" not in shown


@settings(max_examples=25, deadline=None)
@given(chains(), keys, keys)
def test_no_key_is_in_any_format(chain: Chain, private: str, public: str) -> None:
    """A run is made of the chain that a configuration gives; no key of it gets there."""
    vpn = chain["sys-proxyvm"].vpn
    assert vpn is not None and vpn.settings is not None
    wireguard = WireGuard(vpn.settings, Secret(private), public)
    resolved = CHAIN.resolved({CHAIN["sys-proxyvm"].name: wireguard.settings}, chain.wan)
    report = gather.report(replace(reports.leaking(), chain=resolved), RULES)
    for render in FORMATS:
        for shown in (render(report), render(redacted(report, resolved))):
            for key in (private, public):
                assert key not in shown
                assert base64.b64decode(key).hex() not in shown


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UDP 100.64.0.2:20005 → 198.18.7.1:51820", "UDP uplink-1:20005 → endpoint-1:51820"),
        ("TCP [fd00:64::2]:1 → [2001:db8:ffff::1]:2", "TCP tunnel-2:1 → router-2:2"),
        ("::ffff:198.18.7.1 is mapped", "endpoint-1 is mapped"),
        ("asked 10.64.0.1.", "asked resolver-1."),
        ("fd00:64::2: no answer", "tunnel-2: no answer"),
        ("from=198.18.7.1;to:198.18.7.1/32", "from=endpoint-1;to:endpoint-1/32"),
        ("[fd00:64::2] and [198.18.7.1", "tunnel-2 and [endpoint-1"),
        ("1.198.18.7.1", "address-1.1"),
        ("mac 00:16:3e:5e:6c:00, deadbeef", "mac 00:16:3e:5e:6c:00, deadbeef"),
        ("9.9.9.9, 149.112.112.112, 9.9.9.9", "address-1, address-2, address-1"),
        ("fe80::1%eth0 and ff02::1:ff00:2", "address-1 and address-2"),
        ("10.137.0.13:443 → 192.0.2.1:53", "10.137.0.13:443 → 192.0.2.1:53"),
        ("[2001:db8:dead::1]:443 ff02::16 ::", "[2001:db8:dead::1]:443 ff02::16 ::"),
        ("tor 0.4.9.11 on Linux 6.1.0-18, 12:30:59", "tor 0.4.9.11 on Linux 6.1.0-18, 12:30:59"),
        ("netchain leaktest --html /home/ada/r.html", "netchain leaktest --html ~/r.html"),
        ("999.1.2.3 is none", "999.1.2.3 is none"),
    ],
)
def test_words(before: str, after: str) -> None:
    assert Words(CHAIN).hide(before) == after


def test_kept_are_only_addresses_that_everybody_may_know() -> None:
    words = Words(CHAIN)
    public = [IPv4Network("192.168.0.0/24"), IPv4Network("8.8.8.0/29"), IPv6Network("fd01::/125")]
    for network in public:
        assert all(words.of(address) for address in network)


@pytest.mark.parametrize("name", RUNS)
def test_the_report_says_that_it_is_redacted(name: str, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    write(RUNS[name](), html_file=page, redact=True)
    assert "redacted" in as_text(RUNS[name](), redact=True)
    assert "<p>Redacted:" in page.read_text()
    write(RUNS[name](), html_file=page)
    assert "<p>Not redacted:" in page.read_text()

"""A VPN in a VPN with real programs: packets of full size pass, in both directions, in whole.

Not covered: a provider whose own tunnel is smaller than its customer's; other MTUs of the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from commands import Netchain
from test_leaktest_probes import attached

from netchain.model.allowed import Link
from netchain.model.names import QubeName
from netchain.wire.decode import decode

pytestmark = pytest.mark.lab
CHAIN, OUTER, INNER = "two-vpns-before-tor", QubeName("sys-vpn-outer"), QubeName("sys-vpn-inner")
SIZE = 60000
"""Of a path that the site says back: many segments each way (its limit is 65536)."""


@pytest.fixture(scope="module")
def nested(netchain: Netchain) -> Iterator[Netchain]:
    assert netchain("lab", "up").returncode == 0
    done = netchain("up", CHAIN)
    assert done.returncode == 0, done.stderr
    yield netchain
    netchain("down", CHAIN)


def test_full_size_segments_pass_whole_both_ways(
    nested: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnels = [Link(name, None, tunnel=True).name for name in (OUTER, INNER)]
    with attached(nested, CHAIN, monkeypatch) as (_, site):
        mark = site.sensor.tap.mark()
        words = f"curl -sS -m 60 http://news.lab/$(head -c {SIZE} /dev/zero | tr '\\0' a)"
        done = nested("exec", CHAIN, "--", "sh", "-c", words)
        assert site.sensor.settle() == []
        heard = {name: site.sensor.tap.frames(name, mark) for name in tunnels}
    assert len(json.loads(done.stdout)["page"]) == SIZE + 1, done.stderr
    for name, size in zip(tunnels, (1420, 1360), strict=True):
        for outgoing in (True, False):
            lengths = [len(c.frame) for c in heard[name] if c.outgoing is outgoing]
            assert max(lengths) == size, (name, outgoing)
        flows = [decode(c.frame, c.link_type) for c in heard[name]]
        assert not [flow for flow in flows if flow.fragment or flow.more_fragments]


def test_the_outer_tunnel_carries_only_the_inner_one(
    nested: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every byte of it: the site's own words are in no frame of any wire above sys-whonix."""
    word = b"a-word-that-only-the-site-hears"
    below = Link(QubeName("anon-whonix"), QubeName("sys-whonix")).name
    tunnel = Link(OUTER, None, tunnel=True).name
    with attached(nested, CHAIN, monkeypatch) as (_, site):
        mark = site.sensor.tap.mark()
        url = f"http://news.lab/{word.decode()}"
        done = nested("exec", CHAIN, "--", "curl", "-sS", "-m", "30", url)
        assert site.sensor.settle() == []
        ours = site.sensor.injected[tunnel]
        outer = [c for c in site.sensor.tap.frames(tunnel, mark) if c.frame not in ours]
        near = {c.frame for c in site.sensor.tap.frames(below, mark)}
        everything = [c.frame for c in site.sensor.tap.frames(since=mark)]
    assert word.decode() in done.stdout
    told = [frame for frame in everything if word in frame]
    assert told and set(told) <= near
    flows = [decode(c.frame, c.link_type) for c in outer]
    assert len({(flow.source, flow.destination) for flow in flows}) == 2  # there and back

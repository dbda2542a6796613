"""All probes on real chains: nothing on any wire that may not be there; opened, each is seen.

Not covered: other states than "ready", and gateways other than sys-proxyvm opened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from commands import CHAIN, Netchain

from leaktests.catalogue import probes
from leaktests.engine import sweep
from leaktests.engine.shot import Markers, shots
from leaktests.engine.sweep import Sweep
from netchain.commands import common
from netchain.console import Console
from netchain.demo import control
from netchain.model.addressing import UPLINK, address4, address6
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Chain, QubeState, Role
from netchain.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
OPENED = "sys-proxyvm--sys-firewall"


@contextmanager
def attached(netchain: Netchain, name: str, patch: pytest.MonkeyPatch) -> Iterator[
    tuple[Chain, Site]
]:  # fmt: skip
    """The running chain, all of its links heard, and sent to from both ends."""
    patch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
    with common.site(common.find(name), Console(quiet=True)) as (chain, site):
        for link in (*links(chain), *tunnels(chain)):
            site.sensor.arm(chain, link)
            if not link.tunnel:
                site.sensor.arm_down(chain, link)
        site.timeline.change(0, 0, {qube.name: QubeState.READY for qube in chain.qubes})
        yield chain, site


def swept(chain: Chain, site: Site) -> Sweep:
    markers = Markers(time.time_ns())
    shot = shots(chain, probes(), markers)
    return sweep.run("connected", chain, site.sensor, site.timeline, shot, markers)


def told(found: Sweep) -> list[str]:
    return [f"{one.leak} <- {one.shot}" for one in found.found]


def assert_clean(found: Sweep) -> None:
    assert told(found) == []
    assert [f"{shot}: {why}" for shot, why in found.unsent] == []
    assert found.doubts == ()
    assert found.verdict == "clean"
    assert sum(found.shots.values()) > 10_000


def test_all_probes_are_clean_before_tor(up: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice: what answers only now and then has another chance."""
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        assert_clean(swept(chain, site))
        assert_clean(swept(chain, site))


def test_with_a_gateway_opened_each_probe_is_seen(
    netchain: Netchain, up: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rules and its routes; every probe that a router passes on, with its own shot."""
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        try:
            open_the_proxy(chain, site)
            found = swept(chain, site)
        finally:
            netchain("down")
    seen = {(one.shot.probe.id, one.shot.probe.name) for one in found.found if one.shot}
    assert {(p.id, p.name) for p in probes() if p.leaves} - seen == set()
    up_there = [one for one in found.found if one.leak.link == OPENED and one.shot]
    assert len(up_there) > 2000
    assert {str(one.leak.direction) for one in up_there} == {"up"}
    senders = {one.shot.place.name for one in up_there if one.shot}
    assert senders == {"sys-whonix--sys-proxyvm up", f"{OPENED} down"}
    assert found.doubts == ()


def open_the_proxy(chain: Chain, site: Site) -> None:
    proxy = chain.with_role(Role.VPN_PROXY)[0]
    site.backend.load_rules(chain, proxy.name, control.OPEN_RULES)
    for family, find in (("-4", address4), ("-6", address6)):
        route = [
            "ip",
            family,
            "route",
            "replace",
            "default",
            "via",
            str(find(chain, "sys-firewall")),
        ]
        route += ["dev", UPLINK, "onlink", "metric", "1"]
        site.backend.execute(chain, proxy.name, route, timeout=10)


@pytest.mark.parametrize("name", ["vpn-only", "tor-only"])
def test_all_probes_are_clean_on_other_chains(
    netchain: Netchain, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert netchain("lab", "up").returncode == 0
    done = netchain("up", name)
    assert done.returncode == 0, done.stderr
    try:
        with attached(netchain, name, monkeypatch) as (chain, site):
            assert_clean(swept(chain, site))
            assert_clean(swept(chain, site))
    finally:
        netchain("down", name)

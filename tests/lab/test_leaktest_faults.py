"""Every fault under a flood on the real chain: clean. With a lock open: the same trials leak.

The VPN's qube is opened for the controls, rules and mostly routes: it is the one that must hold
when the tunnel is gone. Trials that showed nothing, and acts that did nothing, are inconclusive.
Not covered: the faults on other chains, and other gateways opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from commands import CHAIN, Netchain
from test_leaktest_probes import attached

from leaktests.catalogue import faults, faults_rules
from leaktests.engine import flood, trial
from leaktests.engine.fault import Bench, Fault
from leaktests.engine.outcome import Trial
from leaktests.engine.shot import Markers
from netchain import apply
from netchain.demo.control import OPEN_RULES
from netchain.model.addressing import UPLINK, address4, address6
from netchain.model.allowed import Link, links, tunnels
from netchain.model.chain import Chain, Role
from netchain.site import Site

pytestmark = [
    pytest.mark.lab,
    pytest.mark.own_taps,
    pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning"),  # stem's
]
Running = tuple[Chain, Site]


@pytest.fixture
def running(up: Netchain) -> Iterator[Running]:
    """Each with a sensor of its own: one that once lost a frame has doubts for ever."""
    with pytest.MonkeyPatch.context() as patch, attached(up, CHAIN, patch) as found:
        yield found


@pytest.fixture
def whole(running: Running) -> Iterator[Running]:
    """The chain, which the next test finds whole, with a sensor that has nothing to say."""
    yield running
    chain, site = running
    site.sensor.settle()
    site.sensor.take()
    apply.up(chain, site)


def tried(running: Running, fault: Fault) -> Trial:
    chain, site = running
    return trial.run(fault, chain, site, Markers(time.time_ns()))


def named(id_: str, words: str = "") -> Fault:
    return next(fault for fault in faults() if fault.id == id_ and words in fault.name)


def told(found: Trial) -> list[str]:
    return sorted({f"{one.leak} <- {one.shot}" for one in found.found})


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: f"{fault.id} {fault.name}")
def test_nothing_leaks(running: Running, fault: Fault) -> None:
    found = tried(running, fault)
    assert told(found) == []
    assert found.doubts == ()
    assert found.verdict == "clean"
    assert found.sent > 2000
    assert (found.id, found.name) == (fault.id, fault.name)


def open_rules(chain: Chain, site: Site) -> None:
    site.backend.load_rules(chain, chain.with_role(Role.VPN_PROXY)[0].name, OPEN_RULES)


def open_all(chain: Chain, site: Site) -> None:
    """Its rules, and its routes: past the tunnel."""
    open_rules(chain, site)
    vpn = chain.with_role(Role.VPN_PROXY)[0]
    for family, find in (("-4", address4), ("-6", address6)):
        via = str(find(chain, str(vpn.netvm)))
        route = ["ip", family, "route", "replace", "default", "via", via, "dev", UPLINK, "onlink"]
        site.backend.execute(chain, vpn.name, [*route, "metric", "1"], timeout=10)


@pytest.mark.parametrize(
    ("fault", "opened"),
    [
        (named("V01"), open_all),
        (named("V02"), open_all),
        (named("V03"), open_all),
        (named("V05"), open_all),
        (named("T03"), open_all),
        (named("T02", "stopped"), open_all),
        (named("W03"), open_all),
        (named("V12", "provider"), open_all),
        (named("N06"), open_all),
        (named("N01"), open_rules),  # its own routes lead past the tunnel
        (named("N03"), open_rules),
        (named("I06"), open_all),
    ],
    ids=lambda given: given.name if isinstance(given, Fault) else given.__name__,
)
def test_with_the_vpns_qube_opened_the_trial_leaks(
    whole: Running, fault: Fault, opened: Callable[[Chain, Site], None]
) -> None:
    opened(*whole)
    found = tried(whole, fault)
    assert found.verdict == "leak"
    assert found.window_ms > 0
    assert len(found.found) > 100
    above = [one for one in found.found if one.leak.link == "sys-proxyvm--sys-firewall"]
    assert {one.shot.probe.id for one in above if one.shot} >= {fault.id}


def test_a_flush_where_no_second_lock_is_leaks_into_the_tunnel(whole: Running) -> None:
    """Clients' packets with their own addresses, until the chain is made whole."""

    def act(bench: Bench) -> Iterator[None]:
        faults_rules.flush(bench, bench.qube(Role.VPN_PROXY))
        yield

    found = tried(whole, Fault("W04", "the VPN's qube", act))
    assert found.verdict == "leak"
    assert "sys-proxyvm--tunnel" in {one.leak.link for one in found.found}


def nothing(_: Bench) -> Iterator[None]:
    yield


def test_an_act_that_does_nothing_is_a_doubt(whole: Running) -> None:
    def act(bench: Bench) -> Iterator[None]:
        bench.require(False, "it still runs")
        yield

    found = tried(whole, Fault("V01", "nothing", act))
    assert found.verdict == "inconclusive"
    assert found.doubts == ("the fault is not what it should be: it still runs",)


def test_an_outage_that_does_not_come_is_a_doubt(whole: Running) -> None:
    def act(bench: Bench) -> Iterator[None]:
        bench.expect_outage(bench.uplink(bench.qube(Role.NET)))
        yield

    found = tried(whole, Fault("V12", "nothing", act))
    assert found.verdict == "inconclusive"
    assert found.doubts == ("isp went down 0 times, not once",)


def test_a_slow_flood_is_a_doubt(whole: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "_AIMED_AT", 500)
    found = tried(whole, Fault("V01", "nothing", nothing))
    assert found.verdict == "inconclusive"
    (doubt,) = found.doubts
    assert doubt.startswith("the flood was slower than it must be: ")


def test_a_flood_that_does_not_go_on_is_a_doubt(whole: Running) -> None:
    def act(bench: Bench) -> Iterator[None]:
        bench._flood.stop()
        yield

    found = tried(whole, Fault("V01", "nothing", act))
    assert found.verdict == "inconclusive"
    stopped = "the fault is not what it should be: the flood stopped while the fault lasted"
    assert stopped in found.doubts


def test_an_unexpected_outage_stays_a_doubt(whole: Running) -> None:
    """Also when the link was taken away and heard again since. The sensor is of no use then."""
    chain, site = whole
    vpn = chain.with_role(Role.VPN_PROXY)[0]

    def act(bench: Bench) -> Iterator[None]:
        node, interface = bench.port(vpn)
        for how in ("down", "up"):
            bench.on(node, "ip", "link", "set", interface, how)
        yield

    doubt = "sys-proxyvm--sys-firewall went down while it was heard"
    found = tried(whole, Fault("V12", "unexpected", act))
    assert found.verdict == "inconclusive"
    assert doubt in found.doubts
    site.sensor.disarm(Link(vpn.name, vpn.netvm))
    site.sensor.arm(chain, Link(vpn.name, vpn.netvm))
    assert doubt in site.sensor.doubts()
    site.sensor._lost.clear()  # or `whole` could prove nothing with this sensor


def test_nothing_is_heard_any_more_once_the_chain_is_down(whole: Running) -> None:
    """A tap that stays open would keep a qube's network alive, and forwarding."""
    chain, site = whole
    apply.down(chain, site)
    every = (*links(chain), *tunnels(chain))
    assert not [link.name for link in every if site.sensor.hears(link)]

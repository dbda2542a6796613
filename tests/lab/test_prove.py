"""The proof of `up` on a chain of real links, without the programs: clean, a leak, or a doubt.

Not covered: VPN and Tor programs (tests/lab/test_demo.py), and more packets than the canary
sweep's (tests/lab/test_leaktest_probes.py).
"""

from __future__ import annotations

import pytest

from netchain.backends.netns.backend import NetnsBackend
from netchain.demo.control import OPEN_RULES
from netchain.model.addressing import (
    CLIENT_MAC,
    NETVM_MAC,
    UPLINK,
    address4,
    downstream_interface,
)
from netchain.model.allowed import Direction, Link, links
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.prove import Sensor, Verdict, prove
from netchain.wire import build
from netchain.wire.timeline import Timeline

pytestmark = pytest.mark.lab
FIREWALL, PROXY = QubeName("sys-firewall"), QubeName("sys-proxyvm")
BEFORE, BEHIND = Link(PROXY, FIREWALL), Link(QubeName("sys-whonix"), PROXY)
CANARY = build.CANARY_ETHERTYPE.to_bytes(2)


def leaking(verdict: Verdict) -> set[str]:
    return {leak.link for leak in verdict.leaks}


def test_a_closed_chain_is_proved_and_an_opened_vpn_qube_is_a_leak(
    chain: Chain, backend: NetnsBackend, timeline: Timeline
) -> None:
    with Sensor(backend) as sensor:
        verdict = prove(chain, sensor, timeline)
        assert (verdict.leaks, verdict.doubts) == ((), ())
        assert [found.link for found in verdict.links] == [link.name for link in links(chain)]
        assert all(found.frames > 20 for found in verdict.links if found.link != "isp")
        backend.load_rules(chain, PROXY, OPEN_RULES)
        via = str(address4(chain, FIREWALL))
        route = ["ip", "route", "replace", "default", "via", via, "dev", UPLINK, "onlink"]
        assert backend.execute(chain, PROXY, [*route, "metric", "1"]).status == 0
        opened = leaking(prove(chain, sensor, timeline))
        assert opened - {BEHIND.name} == {BEFORE.name}  # an opened qube answers its client, too


def test_what_a_link_brought_is_judged_after_it_was_disarmed(
    chain: Chain, backend: NetnsBackend, timeline: Timeline
) -> None:
    with Sensor(backend) as sensor:
        for link in links(chain):
            sensor.arm(chain, link)
        leak = build.ping(address4(chain, PROXY), address4(chain, FIREWALL), b"not ours")
        with backend.injector(chain, BEFORE, Direction.UP) as somebody:
            somebody.send(build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, leak))
        assert sensor.settle() == []
        heard = len(sensor.tap.frames(BEFORE.name))
        sensor.disarm(BEFORE)
        backend.detach(chain, PROXY)
        verdict = sensor.verdict(chain, timeline)
        (found,) = [one for one in verdict.links if one.link == BEFORE.name]
        assert found.frames == heard > 1 and leaking(verdict) == {BEFORE.name}
        assert verdict.doubts == (f"nobody listens on {BEFORE.name}",)
        backend.attach(chain, PROXY)
        sensor.arm(chain, BEFORE)
        assert sensor.settle() == [] and sensor.verdict(chain, timeline).doubts == ()
        assert leaking(sensor.verdict(chain, timeline)) == {BEFORE.name}


def test_a_link_that_went_down_or_a_probe_that_was_not_sent_is_a_doubt(
    chain: Chain, backend: NetnsBackend, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sensor(backend) as sensor:
        with monkeypatch.context() as patch:
            inject = sensor.tap.inject
            patch.setattr(
                sensor.tap,
                "inject",
                lambda link, frame: (
                    None if link == BEFORE.name and frame[12:14] != CANARY else inject(link, frame)
                ),
            )
            (doubt,) = prove(chain, sensor, timeline).doubts
        assert doubt.endswith(f"probes were not heard on {BEFORE.name}")
        for state in ("down", "up"):
            link = ["ip", "link", "set", downstream_interface(chain, PROXY), state]
            assert backend.execute(chain, FIREWALL, link).status == 0
        doubts = prove(chain, sensor, timeline).doubts
        assert f"{BEFORE.name} went down while it was heard" in doubts

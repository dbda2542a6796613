"""What gateways do when nobody uses them: nothing but their one job (G03).

No clock is set, nothing updated, no name asked for, no connection checked. Not covered: what a
real system in a gateway would start (virtual machines, Qubes), and longer than the VPN's own
packets let us wait.
"""

from __future__ import annotations

import pytest
from commands import CHAIN, Netchain, until
from test_leaktest_probes import attached

from netchain.lab import tornet
from netchain.model.allowed import Kind
from netchain.model.chain import Role
from netchain.wire.capture import Captured
from netchain.wire.decode import decode
from netchain.wire.flow import Flow
from netchain.wire.judge import judge, kind_of

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
_NOISE = {Kind.ARP, Kind.NDP, Kind.MLD}
_COMM = "cat /proc/[0-9]*/comm 2>/dev/null | sort -u"
_PROGRAMS = {Role.VPN_PROXY: {"wireguard-go"}, Role.TOR_GATEWAY: {"tor"}}
_ENOUGH, _LONG_S = 20, 120.0


def flows(frames: list[Captured], ours: set[bytes], up: bool) -> list[Flow]:
    """Those in one direction, without the noise of links and what was injected."""
    found = [decode(seen.frame) for seen in frames
             if seen.outgoing is not up and seen.frame not in ours]  # fmt: skip
    return [flow for flow in found if kind_of(flow) not in _NOISE]


def test_only_the_chains_programs_run_and_nothing_else_is_sent(
    up: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        for qube in chain.qubes:
            said = site.backend.execute(chain, qube.name, ("sh", "-c", _COMM), timeout=20)
            running = set(said.stdout.decode().split()) - {"sh", "cat", "sort"}
            assert running <= {"sleep"} | _PROGRAMS.get(qube.role, set()), qube.name
        tap = site.sensor.tap

        def enough() -> bool:
            return len(flows(tap.frames("isp"), site.sensor.injected["isp"], up=True)) >= _ENOUGH

        assert until(enough, _LONG_S)
        assert site.sensor.settle() == [] and site.sensor.doubts() == []
        frames, injected = site.sensor.take()
        verdicts = judge(chain, site.timeline, frames, injected)
        assert [str(leak) for one in verdicts for leak in one.leaks] == []
        vpn = chain.with_role(Role.VPN_PROXY)[0].vpn
        assert vpn is not None and vpn.settings is not None
        server = vpn.settings.endpoint

        def sent(link: str, up: bool) -> list[Flow]:
            return flows(list(frames[link]), set(injected[link]), up)

        for link in ("isp", "sys-firewall--sys-net", "sys-proxyvm--sys-firewall"):
            ends = {(flow.protocol, flow.destination, flow.dport) for flow in sent(link, True)}
            assert ends == {(17, server.address.packed, server.port)}
        relays = {node.address4.packed for node in tornet.NODES}
        for flow in sent("sys-whonix--sys-proxyvm", True):
            assert flow.protocol == 6 and flow.destination in relays
        for is_up in (True, False):
            assert sent("anon-whonix--sys-whonix", is_up) == []

"""I, C. Strangers at the uplink while everything is in use: who is it that has this tunnel?"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from leaktests.catalogue import conntrack, faults_vpn, inbound
from leaktests.engine.fault import Bench, Faults
from leaktests.engine.probe import Probe
from leaktests.engine.target import vpn_settings
from netchain.lab import internet
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL, address4
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Role
from netchain.wire import build
from netchain.wire.decode import decode

topic = Faults(Role.VPN_PROXY)
_NUMBERS = b"\x66\x6f\x72\x67\x65\x64\x21\x21"
"""Sequence and acknowledgement number of what is forged: whoever answers it uses them again."""


def _of(*ids: str) -> list[Probe]:
    return [p for topic in (inbound.topic, conntrack.topic) for p in topic.probes if p.id in ids]


@topic.fault("I01", "a live connection in the tunnel is probed from outside (CVE-2019-14899)")
def live_connection(bench: Bench) -> Iterator[None]:
    """A guess at its other end is right, the answer would tell: none may come, on any link."""
    settings = vpn_settings(bench.chain)
    assert settings is not None
    site, inner = internet.host(internet.SITE).address4, settings.addresses[0]
    tap, mark = bench.site.sensor.tap, bench.site.sensor.tap.mark()
    port = _open_flow(bench)
    packets = [
        build.tcp(site, inner, 80, sport, flags, _NUMBERS)
        for sport in (port, port + 1) for flags in ("SA", "R", "A", "S", "FA")
    ]  # fmt: skip
    frames = [build.ethernet(NETVM_MAC, CLIENT_MAC, 0x0800, packet) for packet in packets]
    vpn, net = bench.qube(Role.VPN_PROXY), bench.qube(Role.NET)
    for qube in (net, vpn):
        bench.send(bench.uplink(qube), *frames)
    yield
    bench.site.sensor.settle()
    answers = [
        seen for seen in tap.frames(since=mark)
        if _NUMBERS[:4] in seen.frame or _NUMBERS[4:] in seen.frame if seen.frame not in frames
    ]  # fmt: skip
    bench.require(not answers, f"it was answered, or passed on, {len(answers)} times")


def _open_flow(bench: Bench) -> int:
    """A connection that a client opens through the tunnel now; the port that it has there."""
    tunnel = Link(bench.qube(Role.VPN_PROXY).name, None, tunnel=True).name
    tap, port = bench.site.sensor.tap, bench.port_number()
    mark, there = tap.mark(), faults_vpn.inside_port(bench)
    faults_vpn.use(bench, port)
    missing = tap.wait_for(
        lambda seen: decode(seen.frame, seen.link_type).sport == there, [tunnel], 10, mark
    )
    bench.require(not missing, "nobody answered in the tunnel")
    flows = [decode(seen.frame, seen.link_type) for seen in tap.frames(tunnel, mark)]
    found = next(flow.dport for flow in flows if flow.sport == there)
    assert found is not None
    return found


@topic.fault("I02", "ARP and neighbour solicitations for the tunnel's address and others'")
def who_has(bench: Bench) -> Iterator[None]:
    bench.probe(_of("I02", "I03"))
    yield


@topic.fault("I06", "strangers' packets to every qube: does an answer take another way?")
def strangers(bench: Bench) -> Iterator[None]:
    bench.probe(_of("I01", "I04", "I05", "I06", "I08", "C09", "C10"))
    yield


@topic.fault("C05", "a client takes ports that its gateways listen at, and a stranger asks there")
def port_shadow(bench: Bench) -> Iterator[None]:
    """CVE-2021-3773; both directions, again and again, while the VPN uses its own port."""
    for _ in range(3):
        bench.probe(_of("C05", "C07"))
        faults_vpn.use(bench)
    yield


@topic.fault("C06", "a client sends from the very port that the VPN sends from")
def own_port(bench: Bench) -> Iterator[None]:
    """Towards the VPN's server, as the VPN itself does; the VPN must go on unhindered."""
    vpn = bench.qube(Role.VPN_PROXY)
    client = bench.chain.clients(vpn.name)[0]
    port = int(bench.run(vpn, "wg", "show", TUNNEL, "listen-port"))
    server, source = faults_vpn.outer_flow(bench).server, address4(bench.chain, client.name)
    end = ip_address(str(server.address))
    handshake = b"\x01\0\0\0" + bytes(144)
    packets = [build.udp(source, end, port, server.port, handshake),
               build.tcp_syn(source, end, port, server.port)]  # fmt: skip
    frames = [build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet) for packet in packets]
    for _ in range(3):
        bench.send(bench.uplink(client), *frames, direction=Direction.UP)
        faults_vpn.use(bench, port)
    yield
    bench.require(faults_vpn.outer_flow(bench).server == server, "the VPN's flow has changed")

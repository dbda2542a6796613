"""The probes as bytes: built for every place of the shipped chains, decoded, found by marker.

Not covered: what becomes of them on a wire (tests/lab/test_leaktest_probes.py).
"""

from __future__ import annotations

import socket
import time
import warnings
from collections import defaultdict
from functools import cache

import pytest
from chains import PROFILES, chain
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from leaktests.catalogue import probes
from leaktests.engine.place import places
from leaktests.engine.shot import Markers, Shot, shots
from netchain.model.allowed import Direction
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow

CUT = {("F03", "a first fragment of eight bytes, the rest behind it")}
"""Only their later packets have room for the marker."""
SEED = 7


@cache
def built(profile: str) -> tuple[Shot, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tuple(shots(chain(profile), probes(), Markers(SEED)))


def of(id_: str, profile: str = "vpn-before-tor") -> list[tuple[Shot, Flow]]:
    return [(shot, decode(shot.frame)) for shot in built(profile) if shot.probe.id == id_]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_probe_is_built_and_fits_a_link(profile: str) -> None:
    """But for what is about a VPN, where there is none."""
    missing = {probe.id for probe in probes()} - {shot.probe.id for shot in built(profile)}
    assert missing <= ({"I01", "R02", "R03", "R06", "S04", "S05"} if profile == "tor-only"
                       else set())  # fmt: skip
    assert all(14 < len(shot.frame) <= 1514 for shot in built(profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_end_of_every_link_is_used(profile: str) -> None:
    used = {shot.place.name for shot in built(profile)}
    assert used == {place.name for place in places(chain(profile))}


def test_no_two_probes_have_the_same_name() -> None:
    names = [(probe.id, probe.name, probe.families, probe.direction) for probe in probes()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("profile", PROFILES)
def test_markers_are_found_again(profile: str) -> None:
    markers = Markers(SEED)
    found: dict[bytes, set[int | None]] = defaultdict(set)
    for shot in built(profile):
        if shot.probe.marked and (shot.probe.id, shot.probe.name) not in CUT:
            found[shot.marker].add(markers.of(shot.frame))
    assert found
    assert not [m for m, numbers in found.items() if numbers != {markers.of(m)}]


@pytest.mark.parametrize("profile", PROFILES)
def test_frames_of_no_marker_are_few_and_say_so(profile: str) -> None:
    ids = {shot.probe.id for shot in built(profile) if not shot.probe.marked}
    assert ids == {"F18", "L12", "L13", "I02", "I03"}


def test_what_says_nothing_of_itself_is_well_formed() -> None:
    """Without `why_not`, a plain packet is one that the decoder takes, from where it says."""
    odd = {"P33", "P25", "P26", "P23", "P24", "P03", "P04", "P27", "P31", "P32", "P20", "P21",
           "P22", "C09", "C10", "I07", "I09"}  # fmt: skip
    for shot in built("vpn-before-tor"):
        if not shot.probe.why_not and shot.probe.id not in odd:
            flow = decode(shot.frame)
            assert flow.problem is None, f"{shot}: {flow}"
            assert flow.source is not None and len(flow.source) == (
                4 if shot.target.version == 4 else 16
            )


@pytest.mark.parametrize(
    ("id_", "protocol", "ports"),
    [("P05", 17, {53}), ("P07", 17, {443}), ("P08", 17, {123}), ("P09", 17, {500, 4500}),
     ("P11", 17, {3478, 19302}), ("P14", 6, {22, 80, 443, 9001, 9030}), ("P20", 132, {443}),
     ("P21", 33, {443}), ("P22", 136, {443}), ("D04", 6, {853}), ("D10", None, {53, 853}),
     ("D06", 17, {443, 784, 853, 8853}), ("R06", 6, {443, 9001, 9030})],
)  # fmt: skip
def test_frames_say_what_the_probe_says(id_: str, protocol: int | None, ports: set[int]) -> None:
    flows = [flow for _, flow in of(id_)]
    assert {flow.dport for flow in flows} == ports
    assert protocol is None or {flow.protocol for flow in flows} == {protocol}


def test_the_matrix_goes_to_each_address_once() -> None:
    pings = [flow for shot, flow in of("P01") if shot.place.name == "anon-whonix--sys-whonix up"]
    targets = [flow.destination for flow in pings]
    assert len(targets) == len(set(targets)) == 19  # ten classes, the endpoint's IPv4 only


def test_fragments_are_fragments_and_flags_are_flags() -> None:
    assert any(flow.more_fragments for _, flow in of("F01"))
    assert {flow.tcp_flags for _, flow in of("P18")} == {0, 0x29, 0x03, 0x06, 0x3F}
    assert {flow.options[0] for _, flow in of("F07") if flow.options} == {131, 137}
    assert all(len(flow.extensions) == 9 for _, flow in of("F11"))


def test_what_comes_down_is_sent_by_the_netvm() -> None:
    down = [shot for shot in built("vpn-before-tor") if shot.place.direction is Direction.DOWN]
    assert {shot.probe.id[0] for shot in down} == set("ICSFLP")
    assert all(shot.frame[6:12] == b"\xfe\xff\xff\xff\xff\xff" for shot in down)


def test_nothing_goes_to_the_vpn_as_the_vpn_itself() -> None:
    """It would be allowed further up, and prove nothing."""
    for shot in built("vpn-before-tor"):
        flow = decode(shot.frame)
        own = shot.place.own(4).packed
        if str(shot.place.role) == "vpn-proxy" and shot.place.direction is Direction.UP:
            there = (flow.destination, flow.protocol, flow.dport)
            assert (flow.source, *there) != (own, bytes((198, 18, 7, 1)), 17, 51820), str(shot)


@pytest.mark.parametrize("version", [4, 6])
def test_plain_packets_are_as_scapy_makes_them(version: int) -> None:
    place = next(p for p in places(chain("vpn-only")) if p.direction is Direction.UP)
    source, target = place.own(version), place.peer(version)
    kind = IP if version == 4 else IPv6
    more = {"id": 0} if version == 4 else {}
    header = kind(src=str(source), dst=str(target), **more)
    segment = TCP(sport=1, dport=2, seq=3, ack=4, flags="SA", window=64240)
    numbers = (3).to_bytes(4) + (4).to_bytes(4)
    assert build.udp(source, target, 1, 2, b"abc") == bytes(header / UDP(sport=1, dport=2) / b"abc")
    assert build.tcp(source, target, 1, 2, "SA", numbers, b"x") == bytes(header / segment / b"x")


def test_each_run_has_source_ports_of_its_own() -> None:
    """A flow that a gateway still tracks from the last run would be another packet."""
    dns = [probe for probe in probes() if probe.id == "P05"]
    one, other = (shots(chain("vpn-only"), dns, Markers(seed)) for seed in (1, 2))
    assert decode(one[0].frame).sport != decode(other[0].frame).sport


def test_building_is_quick_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket is opened: no name is looked up, nothing is sent."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    start = time.process_time()
    shots(chain("vpn-before-tor"), probes(), Markers(SEED))
    assert time.process_time() - start < 2.5

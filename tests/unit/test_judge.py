"""The judge on hand-made frames: what is allowed passes, everything near it does not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from chains import chain

from netchain.model.addressing import CLIENT_MAC, NETVM_MAC
from netchain.model.allowed import links
from netchain.model.chain import QubeState
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.judge import Timeline, judge

CHAIN = chain("vpn-before-tor")
WAN, VPN = IPv4Address("100.64.0.2"), IPv4Address("198.18.7.1")
WHONIX, OTHER = IPv4Address("10.137.0.13"), IPv4Address("192.0.2.9")
WIREGUARD = b"\x04\0\0\0" + bytes(28)
TOR_LINK = "sys-whonix--sys-proxyvm"


def ready(*, blocked: str = "") -> Timeline:
    timeline = Timeline()
    state = {
        q.name: QubeState.BLOCKED if q.name == blocked else QubeState.READY for q in CHAIN.qubes
    }
    timeline.change(0, 0, state)
    return timeline


def leaks(
    link: str, packet: bytes, *, down: bool = False, timeline: Timeline | None = None,
    time_ns: int = 10, injected: bool = False, frame: bytes | None = None,
) -> int:  # fmt: skip
    whole = frame or build.ethernet(CLIENT_MAC, NETVM_MAC, build.ethertype_of(packet), packet)
    captured = {link: [Captured(link, time_ns, down, whole)]}
    ours = {link: [whole]} if injected else {}
    verdict = judge(CHAIN, timeline or ready(), captured, ours)[0]
    assert verdict.frames == 1
    return len(verdict.leaks)


def test_the_vpn_may_leave_and_its_answers_come_back() -> None:
    assert leaks("isp", build.udp(WAN, VPN, 40000, 51820, WIREGUARD)) == 0
    assert leaks("isp", build.udp(VPN, WAN, 51820, 40000, WIREGUARD), down=True) == 0


@pytest.mark.parametrize(
    "packet",
    [
        build.udp(WAN, VPN, 40000, 51820, b"not wireguard at all, but as long as it is....."),
        build.udp(WAN, VPN, 40000, 51821, WIREGUARD),
        build.udp(WAN, OTHER, 40000, 51820, WIREGUARD),
        build.udp(WHONIX, VPN, 40000, 51820, WIREGUARD),
        build.udp(VPN, WAN, 51820, 40000, WIREGUARD),
        build.tcp_syn(WAN, VPN, 40000, 51820),
        build.ping(WAN, VPN, b"x"),
        build.udp(WAN, OTHER, 40000, 53, b"dns"),
        build.udp(IPv6Address("2001:db8:100::2"), IPv6Address("2001:db8::1"), 1, 53, b"dns"),
    ],
)
def test_nothing_else_may_leave(packet: bytes) -> None:
    assert leaks("isp", packet) == 1


def test_closing_a_qube_on_the_path_closes_the_link() -> None:
    packet = build.udp(WAN, VPN, 40000, 51820, WIREGUARD)
    for name in ("sys-net", "sys-firewall", "sys-proxyvm"):
        assert leaks("isp", packet, timeline=ready(blocked=name)) == 1


def test_tor_speaks_tcp_only() -> None:
    assert leaks(TOR_LINK, build.tcp_syn(WHONIX, OTHER, 40000, 9001)) == 0
    assert leaks(TOR_LINK, build.udp(WHONIX, OTHER, 40000, 53, b"x")) == 1


def test_a_tag_a_fragment_and_an_option_are_leaks() -> None:
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    tagged = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x8100, b"\0\1\x08\0" + packet)
    assert leaks(TOR_LINK, packet, frame=tagged) == 1
    fragment = packet[:6] + b"\x20\0" + packet[8:]
    assert leaks(TOR_LINK, fragment) == 1
    routed = b"\x47" + packet[1:20] + b"\x83\x07\x04" + OTHER.packed + b"\0" + packet[20:]
    routed = routed[:2] + len(routed).to_bytes(2) + routed[4:]
    assert leaks(TOR_LINK, routed) == 1


def test_an_error_is_allowed_when_it_quotes_an_allowed_flow() -> None:
    def error(quoted: bytes) -> bytes:
        body = b"\x03\x04\0\0\0\0\x05\0" + quoted[:28]
        return build._ip(
            IPv4Address("10.137.0.12"), WHONIX, 1, build._put(body, 2, build.checksum(body))
        )

    good = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    bad = build.udp(WHONIX, OTHER, 40000, 53, b"secret")
    assert leaks(TOR_LINK, error(good), down=True) == 0
    assert leaks(TOR_LINK, error(bad), down=True) == 1
    assert leaks(TOR_LINK, error(good)) == 1


def test_cut_frames_are_leaks() -> None:
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    whole = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    assert all(leaks(TOR_LINK, packet, frame=whole[:n]) == 1 for n in range(1, len(whole)))


def test_in_a_transition_both_states_must_allow() -> None:
    timeline = ready(blocked="sys-whonix")
    timeline.change(100, 200, {CHAIN["sys-whonix"].name: QubeState.STARTING})
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    seen = [leaks(TOR_LINK, packet, timeline=timeline, time_ns=t) for t in (50, 150, 250)]
    assert seen == [1, 1, 0]


def test_frames_of_our_own_are_excused_on_their_link() -> None:
    assert leaks("isp", build.udp(WAN, OTHER, 1, 53, b"x"), injected=True) == 0


def test_without_states_everything_but_neighbours_is_a_leak() -> None:
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    for link in links(CHAIN):
        assert leaks(link.name, packet, timeline=Timeline()) == 1

"""The judge on hand-made frames: what is allowed passes, everything near it does not.

Not covered: a forged flow that looks like an allowed one in all its headers (the judge cannot see
it), clocks that go back, and the decoder itself (test_wire_decode*.py).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import pack

import pytest
from chains import chain
from hypothesis import given
from hypothesis import strategies as st

from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, address4, address6
from netchain.model.allowed import Link, links
from netchain.model.chain import QubeState
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.judge import judge
from netchain.wire.timeline import Timeline

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


GATEWAY = IPv4Address("10.137.0.12")
"""sys-proxyvm, as sys-whonix sees it."""
SYN = build.tcp_syn(WHONIX, OTHER, 40000, 9001)


def error(quoted: bytes, kind: int = 3) -> bytes:
    """An ICMP error of the gateway's about a packet: its header and 8 bytes (RFC 792)."""
    rest = bytes(2) + b"\x05\0" + quoted[: (quoted[0] & 15) * 4 + 8]
    return build.icmp(GATEWAY, WHONIX, kind, 4, rest)


@pytest.mark.parametrize("kind", [3, 11, 12])
def test_an_error_is_allowed_when_it_quotes_an_allowed_flow(kind: int) -> None:
    assert leaks(TOR_LINK, error(SYN, kind), down=True) == 0
    assert leaks(TOR_LINK, error(SYN, kind)) == 1


@pytest.mark.parametrize(
    "quoted",
    [
        build.udp(WHONIX, OTHER, 40000, 53, b"secret"),
        build.tcp_syn(OTHER, WHONIX, 9001, 40000),
        build.tcp_syn(IPv4Address("10.137.0.14"), OTHER, 40000, 9001),
        error(SYN),
        SYN[:6] + b"\x00\x10" + SYN[8:],
    ],
    ids=["another protocol", "the answer", "another sender", "an error", "a fragment"],
)
def test_an_error_about_anything_else_is_a_leak(quoted: bytes) -> None:
    assert leaks(TOR_LINK, error(quoted), down=True) == 1


@pytest.mark.parametrize("quoted", [SYN[:6] + b"\x20\0" + SYN[8:],
                                    b"\x46" + SYN[1:20] + b"\x94\x04\0\0" + SYN[20:]],
                         ids=["a first fragment", "an option"])  # fmt: skip
def test_an_error_quotes_only_what_could_have_been_sent(quoted: bytes) -> None:
    quoted = quoted[:2] + (len(SYN) + 4 * (quoted[0] - 0x45)).to_bytes(2) + quoted[4:]
    assert leaks(TOR_LINK, error(quoted), down=True) == 1


def test_an_error_may_be_about_what_a_qube_sent_before_it_was_closed() -> None:
    """As an answer may: who sends it does not know that a qube is closed now."""
    quoted = build.tcp_syn(WHONIX, OTHER, 40000, 443)
    error = build.icmp(OTHER, WHONIX, 3, 1, bytes(4) + quoted)
    assert leaks(TOR_LINK, error, down=True, timeline=ready(blocked="sys-whonix")) == 0
    assert leaks(TOR_LINK, quoted, timeline=ready(blocked="sys-whonix")) == 1
    assert leaks(TOR_LINK, error, timeline=ready(blocked="sys-whonix")) == 1
    assert leaks(TOR_LINK, error, down=True, timeline=ready(blocked="sys-proxyvm")) == 1


def test_a_redirect_is_a_leak() -> None:
    assert leaks(TOR_LINK, error(SYN, 5), down=True) == 1


def arp(sender: IPv4Address, target: IPv4Address, operation: int = 1) -> bytes:
    head = pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return build.ethernet(
        CLIENT_MAC, NETVM_MAC, 0x0806, head + bytes(6) + sender.packed + bytes(6) + target.packed
    )


def solicitation(sender: IPv6Address, target: IPv6Address, there: IPv6Address) -> bytes:
    packet = build.icmp(sender, there, 135, 0, bytes(4) + target.packed)
    packet = packet[:7] + b"\xff" + packet[8:]  # hop limit 255 (RFC 4861, section 7.1.1)
    return build.ethernet(CLIENT_MAC, NETVM_MAC, 0x86DD, packet)


def ends(link: Link) -> tuple[IPv4Address, IPv4Address, IPv6Address, IPv6Address]:
    assert link.netvm is not None
    return (
        address4(CHAIN, link.client), address4(CHAIN, link.netvm),
        address6(CHAIN, link.client), address6(CHAIN, link.netvm),
    )  # fmt: skip


@pytest.mark.parametrize("link", links(CHAIN)[1:], ids=lambda link: link.name)
def test_neighbours_are_the_two_ends_and_nobody_else(link: Link) -> None:
    """Also while every qube is blocked."""
    client4, netvm4, client6, netvm6 = ends(link)
    stranger6 = IPv6Address("2001:db8::1")
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(netvm6) & 0xFFFFFF)

    def seen(frame: bytes, *, down: bool = False) -> int:
        return leaks(link.name, b"", frame=frame, down=down, timeline=Timeline())

    assert seen(arp(client4, netvm4)) == seen(arp(netvm4, client4, 2), down=True) == 0
    assert seen(solicitation(client6, netvm6, group)) == 0
    assert seen(solicitation(client6, netvm6, netvm6)) == 0
    for frame in (
        arp(OTHER, netvm4), arp(client4, OTHER), arp(netvm4, client4),
        solicitation(stranger6, netvm6, group), solicitation(client6, stranger6, group),
        solicitation(client6, netvm6, stranger6),
    ):  # fmt: skip
        assert seen(frame) == 1


def test_a_neighbour_that_is_tagged_is_a_leak() -> None:
    client4, netvm4, _, _ = ends(links(CHAIN)[1])
    plain = arp(client4, netvm4)
    tagged = plain[:12] + b"\x81\0\0\1" + plain[12:]
    assert leaks(links(CHAIN)[1].name, b"", frame=tagged) == 1


def test_cut_frames_are_leaks() -> None:
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    whole = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    assert all(leaks(TOR_LINK, packet, frame=whole[:n]) == 1 for n in range(1, len(whole)))


def test_a_frame_that_was_captured_in_part_is_a_leak() -> None:
    whole = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, SYN)
    for truncated in (False, True):
        captured = {TOR_LINK: [Captured(TOR_LINK, 10, False, whole, truncated)]}
        assert len(judge(CHAIN, ready(), captured)[0].leaks) == int(truncated)


@pytest.mark.parametrize(
    "data", [b"", b"\4\0\0\0", WIREGUARD[:31], b"\5" + WIREGUARD[1:], b"\4\1" + WIREGUARD[2:]]
)
def test_what_is_not_wireguard_is_a_leak_though_it_goes_to_the_endpoint(data: bytes) -> None:
    assert leaks("isp", build.udp(WAN, VPN, 40000, 51820, data)) == 1
    assert leaks("isp", build.udp(VPN, WAN, 51820, 40000, data), down=True) == 0  # anybody may
    assert (
        leaks("sys-firewall--sys-net", build.udp(VPN, GATEWAY, 51820, 40000, data), down=True) == 1
    )


@given(st.sampled_from(links(CHAIN)), st.binary(max_size=120), st.booleans())
def test_no_bytes_confuse_the_judge(link: Link, frame: bytes, down: bool) -> None:
    """Random bytes are leaks of which something can be said."""
    captured = {link.name: [Captured(link.name, 10, down, frame)]}
    (verdict,) = judge(CHAIN, ready(), captured)
    assert [str(leak).startswith(f"{link.name} ") for leak in verdict.leaks] == [True]


@given(st.ip_addresses(v=4), st.integers(1, 65535), st.integers(1, 65535), st.booleans())
def test_nothing_of_anybody_else_passes_the_uplink(
    there: IPv4Address, sport: int, dport: int, tcp: bool
) -> None:
    if tcp:
        packet = build.tcp_syn(WAN, there, sport, dport)
    else:
        packet = build.udp(WAN, there, sport, dport, WIREGUARD)
    endpoint = not tcp and there == VPN and dport == 51820
    assert leaks("isp", packet) == int(not endpoint)


def test_an_opening_counts_from_the_start_of_its_step() -> None:
    timeline = ready(blocked="sys-whonix")
    timeline.change(100, 200, {CHAIN["sys-whonix"].name: QubeState.STARTING})
    times = (99, 100, 200, 201)
    seen = [leaks(TOR_LINK, SYN, timeline=timeline, time_ns=t) for t in times]
    assert seen == [1, 0, 0, 0]


def test_a_step_that_opens_and_closes_is_judged_by_both_sides() -> None:
    """As a switch would be: what only one side allows is a leak in between."""
    timeline = ready(blocked="sys-firewall")
    whonix, firewall = CHAIN["sys-whonix"].name, CHAIN["sys-firewall"].name
    timeline.change(100, 200, {whonix: QubeState.BLOCKED, firewall: QubeState.READY})
    seen = [leaks(TOR_LINK, SYN, timeline=timeline, time_ns=t) for t in (99, 150, 201)]
    assert seen == [0, 1, 1]
    vpn = build.udp(WAN, VPN, 40000, 51820, WIREGUARD)
    assert [leaks("isp", vpn, timeline=timeline, time_ns=t) for t in (99, 150, 201)] == [1, 1, 0]


def test_a_closing_counts_from_the_end_of_its_step() -> None:
    timeline = ready()
    timeline.change(100, 200, {CHAIN["sys-whonix"].name: QubeState.BLOCKED})
    timeline.change(300, 400, {CHAIN["sys-whonix"].name: QubeState.READY})
    times = (99, 100, 200, 250, 300, 400, 401)
    seen = [leaks(TOR_LINK, SYN, timeline=timeline, time_ns=t) for t in times]
    assert seen == [0, 0, 0, 1, 0, 0, 0]
    assert timeline.now[CHAIN["sys-whonix"].name] is QubeState.READY


def test_before_the_first_step_nothing_is_known_and_nothing_allowed() -> None:
    timeline = Timeline()
    timeline.change(100, 200, dict.fromkeys((q.name for q in CHAIN.qubes), QubeState.READY))
    assert leaks(TOR_LINK, SYN, timeline=timeline, time_ns=99) == 1


def test_frames_of_our_own_are_excused_on_their_link() -> None:
    packet = build.udp(WAN, OTHER, 1, 53, b"x")
    assert leaks("isp", packet, injected=True) == 0
    whole = build.ethernet(CLIENT_MAC, NETVM_MAC, 0x0800, packet)
    captured = {name: [Captured(name, 10, False, whole)] for name in ("isp", TOR_LINK)}
    verdicts = judge(CHAIN, ready(), captured, {TOR_LINK: [whole]})
    assert [(v.link, len(v.leaks)) for v in verdicts] == [("isp", 1), (TOR_LINK, 0)]
    other = whole[:-1] + b"y"
    captured = {TOR_LINK: [Captured(TOR_LINK, 10, False, other)]}
    assert len(judge(CHAIN, ready(), captured, {TOR_LINK: [whole]})[0].leaks) == 1


def test_without_states_everything_but_neighbours_is_a_leak() -> None:
    packet = build.tcp_syn(WHONIX, OTHER, 40000, 9001)
    for link in links(CHAIN):
        assert leaks(link.name, packet, timeline=Timeline()) == 1

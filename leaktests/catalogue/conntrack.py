"""C. Conntrack and NAT: packets that claim to belong to a flow, or make one that lets others in."""

from __future__ import annotations

from ipaddress import ip_address

from leaktests.engine.probe import Aim, Topic
from netchain.model.allowed import Direction
from netchain.model.chain import Address, Role
from netchain.wire import build

topic = Topic("conntrack and NAT")
STRANGER = {4: "198.51.100.80", 6: "2001:db8:80::80"}
_ANNOUNCED = 4660
_LISTENED_AT = (51820, 1194, 9040, 9050, 9051, 5300, 53)
_NOT_THE_VPN = frozenset({*Role, None}) - {Role.VPN_PROXY}
_NO_FLOW = "there is no such flow: the error is for nobody"


@topic.probe("C04", "what helpers read: FTP, SIP, IRC and PPTP")
def helpers(aim: Aim) -> list[bytes]:
    """Each announces a connection from outside, to port 4660 of this qube."""
    parts = ",".join(str(aim.own).split(".")) if aim.version == 4 else ""
    ftp = f"PORT {parts},18,52" if parts else f"EPRT |2|{aim.own}|{_ANNOUNCED}|"
    irc = f"PRIVMSG x :\x01DCC SEND f {int(aim.own)} {_ANNOUNCED}\x01"
    sip = f"INVITE sip:x@y SIP/2.0\r\nContact: <sip:x@{aim.own}:{_ANNOUNCED}>\r\n\r\n"
    return [
        aim.segment(21, "PA", ftp.encode() + b"\r\n"),
        aim.segment(6667, "PA", irc.encode() + b"\r\n"),
        aim.datagram(5060, sip.encode() + aim.marker),
        aim.segment(1723, "PA", b"\0\x9c\0\x01\x1a\x2b\x3c\x4d" + aim.marker),
    ]


@topic.probe("C04", "connections that a helper might expect", direction=Direction.DOWN)
def expected(aim: Aim) -> list[bytes]:
    source = ip_address("192.0.2.1" if aim.version == 4 else "2001:db8:dead::1")
    ends = [(source, to) for to in (aim.to, *aim.place.others(aim.version))]
    return [packet for src, dst in ends
            for packet in (aim.segment(_ANNOUNCED, sport=20, src=src, dst=dst),
                           aim.datagram(_ANNOUNCED, sport=5060, src=src, dst=dst))]  # fmt: skip


@topic.probe(
    "C05", "a client that sends from the ports that its gateway listens at", roles=_NOT_THE_VPN
)
def port_shadow(aim: Aim) -> list[bytes]:
    """Behind NAT it would take the gateway's own port away (CVE-2021-3773)."""
    return [packet for port in _LISTENED_AT
            for packet in (aim.datagram(4444, sport=port), aim.segment(443, sport=port))
            ]  # fmt: skip


@topic.probe(
    "C05",
    "a stranger's packets to the ports that a client may have taken",
    direction=Direction.DOWN,
    why_not="answered at most on the link",
)
def shadowed(aim: Aim) -> list[bytes]:
    source = ip_address(STRANGER[aim.version])
    return [packet for port in _LISTENED_AT
            for packet in (aim.datagram(port, sport=4444, src=source),
                           aim.segment(port, sport=443, src=source))]  # fmt: skip


@topic.probe(
    "C07",
    "a third host's datagrams to the ports of a VPN's flow",
    direction=Direction.DOWN,
    why_not="there is no flow at these ports",
)
def third_host(aim: Aim) -> list[bytes]:
    """From the right port and from the right address, never from both: a sample of ports."""
    end = aim.endpoint
    port = end.port if end else 51820
    handshake = b"\x02\0\0\0" + aim.marker + bytes(80)
    same = end is not None and end.address.version == aim.version
    sources = [(ip_address(STRANGER[aim.version]), port)]
    sources += [(end.address, port + 1)] if end is not None and same else []
    return [aim.datagram(to, handshake, sport=sport, src=source)
            for source, sport in sources for to in (port, *range(32768, 61000, 997))]  # fmt: skip


@topic.probe("C09", "packets that are part of no flow", direction=Direction.DOWN)
def of_no_flow(aim: Aim) -> list[bytes]:
    source = ip_address(STRANGER[aim.version])
    return [aim.segment(40000, flags, sport=443, src=source, dst=to)
            for to in (aim.to, *aim.place.others(aim.version))
            for flags in ("SA", "A", "RA", "FA", "")]  # fmt: skip


@topic.probe("C09", "packets that are part of no flow, from a client")
def of_no_flow_up(aim: Aim) -> list[bytes]:
    return [aim.segment(40000, "SA", sport=9050), aim.segment(40000, "A", sport=9050),
            aim.icmp(0 if aim.version == 4 else 129)]  # fmt: skip


def _errors(aim: Aim, source: Address, target: Address) -> list[bytes]:
    """ICMP errors that tell `target` of a flow that it never had: the quote holds the marker."""
    remote = ip_address(STRANGER[aim.version])
    quoted = build.udp(target, remote, 40000, 443, aim.marker)
    kinds = {4: ((3, 1), (3, 4), (11, 0), (11, 4), (12, 0)),
             6: ((1, 0), (2, 0), (3, 0), (4, 1))}[aim.version]  # fmt: skip
    rest = (1280).to_bytes(4) + quoted
    return [aim.icmp(kind, code, rest, src=source, dst=target) for kind, code in kinds]


@topic.probe(
    "C10", "errors about a flow that nobody opened", direction=Direction.DOWN, why_not=_NO_FLOW
)
def foreign_errors(aim: Aim) -> list[bytes]:
    return _errors(aim, aim.own, aim.to)


@topic.probe(
    "C10", "a stranger's errors about a flow that nobody opened", direction=Direction.DOWN,
    why_not=_NO_FLOW,
)  # fmt: skip
def strangers_errors(aim: Aim) -> list[bytes]:
    return _errors(aim, ip_address(STRANGER[aim.version]), aim.to)


@topic.probe("C10", "errors about a flow of a qube further in", direction=Direction.DOWN)
def errors_further_in(aim: Aim) -> list[bytes]:
    source = ip_address(STRANGER[aim.version])
    return [error for to in aim.place.others(aim.version) for error in _errors(aim, source, to)]


@topic.probe(
    "C10", "a gateway's own errors about a flow, to somebody who is not on that link",
    direction=Direction.DOWN,
)  # fmt: skip
def errors_elsewhere(aim: Aim) -> list[bytes]:
    return _errors(aim, aim.own, ip_address(STRANGER[aim.version]))


@topic.probe("C10", "errors about a flow, from a client")
def errors_up(aim: Aim) -> list[bytes]:
    return _errors(aim, aim.own, aim.to)


@topic.probe("C14", "a qube's own address outside, from inside")
def hairpin(aim: Aim) -> list[bytes]:
    """Without what may enter the tunnel: that comes back from the VPN's server to the uplink, as
    anybody on the internet may send it, and would be taken for a leak there."""
    wan = aim.place.chain.wan
    outside = [a for a in (wan.address4, wan.address6) if a is not None] if wan else []
    found = [aim.all_three(dst=one) for one in outside if one.version == aim.version]
    netvm = aim.place.link.netvm
    if aim.tunnel is None or netvm is None or aim.place.chain[netvm].role is not Role.VPN_PROXY:
        return [packet for three in found for packet in three]
    if aim.place.role is Role.TOR_GATEWAY:  # all but its TCP
        return [packet for ping, datagram, _ in found for packet in (ping, datagram)]
    return aim.all_three(dst=aim.tunnel)

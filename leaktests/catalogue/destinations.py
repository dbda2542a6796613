"""R. Destinations that invite an exception: the VPN's server, Tor's nodes, portal checks."""

from __future__ import annotations

from ipaddress import ip_address

from leaktests.engine.probe import Aim, Topic
from netchain.model.chain import Role

topic = Topic("destinations")
CLASSES = ("R01", "R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "R10", "R12", "R14")
"""What the probes of EVERYWHERE are sent to (engine/target.py)."""
_PORTS = (22, 53, 80, 123, 443, 500, 1194, 1195, 9001, 51819, 51821)
_NOT_THE_VPN = frozenset({*Role, None}) - {Role.VPN_PROXY}
_DIRECTORIES = {4: ("198.18.11.1", "198.51.100.21"), 6: ("3fff:11::1", "3fff:21::1")}
"""Tor nodes of the lab."""
_CHECKS = {4: ("203.0.113.204", "192.0.2.204"), 6: ("2001:db8:204::1", "2001:db8:204::2")}


@topic.probe("R02", "other ports of the VPN's server", classes=("R02",))
def other_ports(aim: Aim) -> list[bytes]:
    own = aim.endpoint.port if aim.endpoint else 0
    ports = [port for port in _PORTS if port != own]
    return [aim.datagram(port) for port in ports] + [aim.segment(port) for port in (*ports, own)]


@topic.probe("R02", "what is neither TCP nor UDP, to the VPN's server", classes=("R02",))
def other_protocols(aim: Aim) -> list[bytes]:
    return [aim.ping(), aim.icmp(13, rest=bytes(4) + aim.marker + bytes(4))]


@topic.probe(
    "R03", "the VPN server's own port, by somebody else", classes=("R03",), roles=_NOT_THE_VPN
)
def other_program(aim: Aim) -> list[bytes]:
    """Also in WireGuard's own words: what counts is who sends it."""
    end = aim.endpoint
    if end is None:
        return []
    handshake = b"\x01\0\0\0" + aim.marker + bytes(136)
    return [aim.datagram(end.port), aim.datagram(end.port, handshake)]


@topic.probe("R06", "a Tor relay on the VPN server's address", classes=("R06",))
def relay_there(aim: Aim) -> list[bytes]:
    return [aim.segment(port) for port in (443, 9001, 9030)]


@topic.probe("R13", "Tor's directories and relays, past Tor")
def directories(aim: Aim) -> list[bytes]:
    to = [ip_address(text) for text in _DIRECTORIES[aim.version]]
    return [aim.segment(port, dst=one) for one in to for port in (9001, 9030, 443, 80)]


@topic.probe("R15", "hosts that tell whether there is a portal")
def portal_checks(aim: Aim) -> list[bytes]:
    get = b"GET /generate_204 HTTP/1.1\r\nHost: check.example\r\nX-Id: " + aim.marker + b"\r\n\r\n"
    to = [ip_address(text) for text in _CHECKS[aim.version]]
    return [packet for one in to
            for packet in (aim.segment(80, dst=one), aim.segment(80, "PA", get, dst=one))
            ]  # fmt: skip

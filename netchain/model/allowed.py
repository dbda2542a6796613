"""What may be on each wire: the one function that the whole project is judged by.

`allowed(chain, link, states)` lists the flows that may pass a link while each qube is in its
state. The rule files implement it, captures are judged by it, docs/security.md prints it. Whatever
is not listed is a leak, whoever sent it; so is whatever cannot be parsed.

How it is built: a link carries what the qubes *behind* it may send (`senders_behind`), and only
while the sender and every qube between it and the link is open. Answers come down as long as the
netvm is open: who sends them does not know that a client was closed, and they end there. Down the
uplink comes whatever strangers send to its address. Otherwise
closed qubes leave a link with nothing but neighbour discovery between its two ends. On the uplink
the source is sys-net's own address there, since that is where addresses change. Inside a VPN's
tunnel it is the tunnel's own address, and the senders are the VPN qube's clients: never the VPN
qube itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network

from netchain.model import addressing
from netchain.model.chain import Address, Chain, Qube, QubeState, Role, VpnSettings
from netchain.model.names import QubeName

Network = IPv4Network | IPv6Network
Prefix = tuple[int, int, int]
"""Bytes of an address, the network as a number, and by how many bits an address is wider."""
States = Mapping[QubeName, QubeState]

OPEN = frozenset({QubeState.STARTING, QubeState.READY, QubeState.DEGRADED})
ANY4, ANY6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
_LINK_LOCAL, _MULTICAST = IPv6Network("fe80::/10"), IPv6Network("ff02::/16")
_UNSPECIFIED = IPv6Network("::/128")


class Direction(StrEnum):
    """UP: from a link's client to its netvm (or to the internet); DOWN: the other way."""

    UP = "up"
    DOWN = "down"

    @property
    def opposite(self) -> Direction:
        return Direction.DOWN if self is Direction.UP else Direction.UP


class Kind(StrEnum):
    """What a frame is. ICMP_ERROR is allowed only when it quotes an allowed flow."""

    ARP = "ARP"
    NDP = "NDP"
    MLD = "MLD"
    TCP = "TCP"
    UDP = "UDP"
    WIREGUARD = "WireGuard (UDP)"
    PING = "ICMP echo"
    ICMP_ERROR = "ICMP error about an allowed flow"


@dataclass(frozen=True)
class Link:
    """A wire of the chain, named by its two ends; netvm None is the uplink to the internet.

    With `tunnel` it is the inside of a VPN qube's tunnel, which has no link layer.
    """

    client: QubeName
    netvm: QubeName | None
    tunnel: bool = False

    @property
    def name(self) -> str:
        if self.tunnel:
            return f"{self.client}--tunnel"
        return f"{self.client}--{self.netvm}" if self.netvm else "isp"


@dataclass(frozen=True)
class FlowPattern:
    """Flows of one kind that may pass; a port of None is any port. `why` is for people."""

    why: str
    kind: Kind
    direction: Direction
    source: Network
    destination: Network
    sport: int | None = None
    dport: int | None = None

    @cached_property
    def ends(self) -> tuple[Prefix, Prefix]:
        """Source and destination, to be compared with quickly."""
        return _prefix(self.source), _prefix(self.destination)

    def reply(self) -> FlowPattern:
        """The packets that answer this flow."""
        return replace(
            self,
            why=f"answers: {self.why}",
            direction=self.direction.opposite,
            source=self.destination,
            destination=self.source,
            sport=self.dport,
            dport=self.sport,
        )


def _prefix(network: Network) -> Prefix:
    bits = network.max_prefixlen
    shift = bits - network.prefixlen
    return bits // 8, int(network.network_address) >> shift, shift


def links(chain: Chain) -> tuple[Link, ...]:
    """Every wire of the chain, the uplink first."""
    return tuple(
        Link(qube.name, qube.netvm)
        for qube in chain.from_uplink()
        if qube.netvm is not None or qube.role is Role.NET
    )


def tunnels(chain: Chain) -> tuple[Link, ...]:
    """The inside of the tunnel of every VPN that reaches the uplink."""
    return tuple(
        Link(qube.name, None, tunnel=True)
        for qube in chain.with_role(Role.VPN_PROXY)
        if chain.is_connected(qube.name)
    )


def allowed(chain: Chain, link: Link, states: States) -> tuple[FlowPattern, ...]:
    """The flows that may be on the link; a qube without a state counts as blocked."""
    patterns = [*_neighbours(chain, link), *_strangers(chain, link)]
    for sender in _senders(chain, link):
        is_open = _path_open(chain, sender, link, states)
        for pattern in _sent_by(chain, sender):
            seen = _as_seen_on(chain, link, pattern)
            if seen is None:
                continue
            if is_open:
                patterns.append(seen)
            if _answers(link, states):
                patterns += [seen.reply(), _errors_about(seen)]
    return tuple(dict.fromkeys(patterns))


def _senders(chain: Chain, link: Link) -> tuple[Qube, ...]:
    if not link.tunnel:
        return addressing.senders_behind(chain, chain[link.client])
    clients = chain.clients(link.client)
    return tuple(s for client in clients for s in addressing.senders_behind(chain, client))


def _answers(link: Link, states: States) -> bool:
    """Whether anything may come down: the netvm is open (the internet always is; a tunnel's other
    end is the provider)."""
    return link.netvm is None or states.get(link.netvm, QubeState.BLOCKED) in OPEN


def _path_open(chain: Chain, sender: Qube, link: Link, states: States) -> bool:
    """Whether the sender, the link's client and every qube between them is open."""
    path = [sender]
    for qube in chain.upstream(sender.name):
        if path[-1].name == link.client:
            break
        path.append(qube)
    return all(states.get(qube.name, QubeState.BLOCKED) in OPEN for qube in path)


def _sent_by(chain: Chain, qube: Qube) -> Iterator[FlowPattern]:
    """What the qube itself may send out of its uplink, with its own address as the source."""
    own4 = ip_network(addressing.address4(chain, qube.name))
    own6 = ip_network(addressing.address6(chain, qube.name))
    match qube.role:
        case Role.VPN_PROXY:
            if qube.vpn is None or qube.vpn.settings is None:
                return
            endpoint = qube.vpn.settings.endpoint
            own = own4 if endpoint.address.version == 4 else own6
            yield FlowPattern(
                f"{qube.name}'s VPN to its endpoint", _kind_of_vpn(qube.vpn.settings),
                Direction.UP, own, ip_network(endpoint.address), dport=endpoint.port,
            )  # fmt: skip
        case Role.TOR_GATEWAY:
            why = f"tor in {qube.name} to relays"
            yield FlowPattern(why, Kind.TCP, Direction.UP, own4, ANY4)
            yield FlowPattern(why, Kind.TCP, Direction.UP, own6, ANY6)
        case Role.WORKSTATION:
            yield from _sent_by_workstation(chain, qube, own4, own6)


def _kind_of_vpn(settings: VpnSettings) -> Kind:
    if settings.endpoint.protocol == "tcp":
        return Kind.TCP
    return Kind.WIREGUARD if settings.kind == "wireguard" else Kind.UDP


def _sent_by_workstation(
    chain: Chain, qube: Qube, own4: Network, own6: Network
) -> Iterator[FlowPattern]:
    if qube.netvm is None:
        return
    netvm = chain[qube.netvm]
    if netvm.role is Role.TOR_GATEWAY:
        gateway = ip_network(addressing.address4(chain, netvm.name))
        yield FlowPattern(
            f"{qube.name} through Tor (TransPort, SocksPort)", Kind.TCP, Direction.UP, own4, ANY4
        )
        yield FlowPattern(
            "names through Tor (DNSPort)", Kind.UDP, Direction.UP, own4, gateway, dport=53
        )
        return
    why = f"{qube.name} through the VPN"
    for own, everywhere in ((own4, ANY4), (own6, ANY6)):
        for kind in (Kind.TCP, Kind.UDP, Kind.PING):
            yield FlowPattern(why, kind, Direction.UP, own, everywhere)


def _as_seen_on(chain: Chain, link: Link, pattern: FlowPattern) -> FlowPattern | None:
    """The pattern with the source that it has on this link; None where it cannot be sent."""
    if link.netvm is not None:
        return pattern
    version = pattern.source.version
    own = _outer_address(chain, link, version)
    return None if own is None else replace(pattern, source=ip_network(own))


def _outer_address(chain: Chain, link: Link, version: int) -> Address | None:
    """What a chain's packets come from in a tunnel, or on the uplink."""
    if link.tunnel:
        vpn = chain[link.client].vpn
        addresses = vpn.settings.addresses if vpn is not None and vpn.settings is not None else ()
        return next((address for address in addresses if address.version == version), None)
    if chain.wan is None:
        return None
    return chain.wan.address4 if version == 4 else chain.wan.address6


def _errors_about(pattern: FlowPattern) -> FlowPattern:
    """ICMP errors may come down to whoever sent an allowed flow; none may go up."""
    everywhere = ANY4 if pattern.source.version == 4 else ANY6
    why = "errors about allowed flows"
    return FlowPattern(why, Kind.ICMP_ERROR, Direction.DOWN, everywhere, pattern.source)


def _neighbours(chain: Chain, link: Link) -> Iterator[FlowPattern]:
    """ARP and NDP between the two ends, and MLD reports: never more than one hop."""
    if link.tunnel:
        return
    for one, other in _ends(chain, link):
        kind = Kind.ARP if one.version == 4 else Kind.NDP
        a, b = ip_network(one), ip_network(other)
        yield FlowPattern("neighbours of this link", kind, Direction.UP, a, b)
        yield FlowPattern("neighbours of this link", kind, Direction.DOWN, b, a)
    for direction in Direction:
        for source in (_UNSPECIFIED, _LINK_LOCAL):
            yield FlowPattern("multicast listener reports", Kind.MLD, direction, source, _MULTICAST)


def _strangers(chain: Chain, link: Link) -> Iterator[FlowPattern]:
    """On the uplink anybody may send to sys-net's address: flows of whoever had it before, scans;
    down a tunnel the provider whatever it will to the tunnel's address, answers to a client that
    was switched away above all. None of it says anything of the chain; behind that qube it would be
    a leak."""
    if link.netvm is not None:
        return
    for version, everywhere in ((4, ANY4), (6, ANY6)):
        own = _outer_address(chain, link, version)
        if own is None:
            continue
        for kind in (Kind.TCP, Kind.UDP, Kind.PING):
            where = "tunnel" if link.tunnel else "uplink"
            why = f"whatever strangers send to the {where}'s address"
            yield FlowPattern(why, kind, Direction.DOWN, everywhere, ip_network(own))


def _ends(chain: Chain, link: Link) -> list[tuple[Address, Address]]:
    if link.netvm is not None:
        return [
            (addressing.address4(chain, link.client), addressing.address4(chain, link.netvm)),
            (addressing.address6(chain, link.client), addressing.address6(chain, link.netvm)),
        ]
    wan = chain.wan
    if wan is None:
        return []
    ends: list[tuple[Address, Address]] = [(wan.address4, wan.gateway4)]
    if wan.address6 is not None and wan.gateway6 is not None:
        ends.append((wan.address6, wan.gateway6))
    return ends

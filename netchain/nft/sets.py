"""What a role's sets and maps hold, from the chain alone: the other half of each rule file.

Each function below belongs to the rule file of its role; the names are those of its sets. The
contents implement `model/allowed.py`: who may send what on which link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netchain.model.addressing import (
    UPLINK,
    UPLINKS,
    address4,
    address6,
    downstream_interface,
    senders_behind,
)
from netchain.model.chain import Address, Chain, Qube, Role, VpnSettings
from netchain.nft.literals import IfName, Mark, Port, Protocol, Uid, Value, element

VPN_MARK = 0x6E63

Sets = Mapping[str, frozenset[str]]
"""The elements of each set or map, as nft writes them."""

_Elements = Iterable[tuple[Value, ...]]
_TRANSPORT = {"tcp": Protocol.TCP, "udp": Protocol.UDP}
_TO_VPN4 = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
_TO_VPN6 = (Protocol.TCP, Protocol.UDP, Protocol.ICMP6)


@dataclass(frozen=True)
class Facts:
    """What rules need to know beside the chain.

    `tor_uid` and `vpn_uid` are the users that tor and the VPN's program run as, as the qube's own
    user namespace numbers them; `vpn_uid` None says that no program speaks the VPN, only the
    kernel (whose packets have no uid, and pass by mark alone in any case).
    """

    tor_uid: int
    vpn_mark: int = VPN_MARK
    vpn_uid: int | None = 0


def sets_for(chain: Chain, qube: Qube, facts: Facts) -> Sets:
    """The sets of the qube's rule file.

    Raises ValueError or TypeError when the chain or the facts hold what cannot be in a rule.
    """
    common = _own(chain, qube) | _neighbours(chain, qube)
    match qube.role:
        case Role.WORKSTATION:
            return common | _upstream(chain, qube) | _workstation(chain, qube)
        case Role.TOR_GATEWAY:
            own = _tor_gateway(chain, qube, facts)
            return common | _upstream(chain, qube) | _antispoof(chain, qube) | own
        case Role.VPN_PROXY:
            own = _vpn_proxy(chain, qube, facts)
            return common | _upstream(chain, qube) | _antispoof(chain, qube) | own
        case Role.FIREWALL:
            own = _passed_on(chain, qube)
            return common | _upstream(chain, qube) | _antispoof(chain, qube) | own
        case Role.NET:
            return common | _wan(chain) | _antispoof(chain, qube) | _passed_on(chain, qube)


def both(one: Sets, other: Sets) -> Sets:
    """The elements of both: what is allowed while a qube goes from one netvm to another."""
    empty: frozenset[str] = frozenset()
    return {name: one.get(name, empty) | other.get(name, empty) for name in {**one, **other}}


def _set(elements: _Elements) -> frozenset[str]:
    return frozenset(element(values) for values in elements)


def _both(name: str, addresses: Iterable[Address]) -> dict[str, frozenset[str]]:
    """A pair of sets of addresses, one for each family: name4 and name6."""
    addresses = tuple(addresses)
    return {
        f"{name}4": _set((a,) for a in addresses if isinstance(a, IPv4Address)),
        f"{name}6": _set((a,) for a in addresses if isinstance(a, IPv6Address)),
    }


def _addresses(chain: Chain, qubes: Iterable[Qube]) -> Iterator[Address]:
    for qube in qubes:
        yield address4(chain, qube.name)
        yield address6(chain, qube.name)


def _own(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    return _both("self", _addresses(chain, [qube]))


def _upstream(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    return _both("upstream", _addresses(chain, chain.upstream(qube.name)))


def _neighbours(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    """Interface and IPv6 address of the far end of each of the qube's links."""
    ends: list[tuple[str, IPv6Address]] = [
        (downstream_interface(chain, client.name), address6(chain, client.name))
        for client in chain.clients(qube.name)
    ]
    if qube.netvm is not None:
        ends += [(name, address6(chain, qube.netvm)) for name in UPLINKS]
    elif qube.role is Role.NET and chain.wan is not None and chain.wan.gateway6 is not None:
        ends.append((UPLINK, chain.wan.gateway6))
    return {"neighbours6": _set((IfName.parse(name), address) for name, address in ends)}


def _antispoof(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    """Downstream interface and source: the addresses that the qubes behind it may use."""
    pairs = [
        (IfName.parse(downstream_interface(chain, client.name)), address)
        for client in chain.clients(qube.name)
        for address in _addresses(chain, senders_behind(chain, client))
    ]
    return {
        "allowed4": _set(pair for pair in pairs if isinstance(pair[1], IPv4Address)),
        "allowed6": _set(pair for pair in pairs if isinstance(pair[1], IPv6Address)),
    }


def _workstation(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    if qube.netvm is None:
        return {}
    if chain[qube.netvm].role is Role.TOR_GATEWAY:
        gateway = address4(chain, qube.netvm)
        return {"out4": _set([(Protocol.TCP,)]), "dns4": _set([(gateway,)])}
    return {
        "out4": _set((protocol,) for protocol in _TO_VPN4),
        "out6": _set((protocol,) for protocol in _TO_VPN6),
    }


def _tor_gateway(chain: Chain, qube: Qube, facts: Facts) -> dict[str, frozenset[str]]:
    return {
        "dns4": _set([(address4(chain, qube.name),)]),
        "tor_uid": _set([(Uid(facts.tor_uid),)]),
    }


def _vpn_proxy(chain: Chain, qube: Qube, facts: Facts) -> dict[str, frozenset[str]]:
    uid: _Elements = [] if facts.vpn_uid is None else [(Uid(facts.vpn_uid),)]
    sets = {"vpn_mark": _set([(Mark(facts.vpn_mark),)]), "vpn_uid": _set(uid)}
    sets |= _clients(chain, qube)
    settings = _settings(qube)
    if settings is None:
        return sets
    version = settings.endpoint.address.version
    sets[f"endpoints{version}"] = _set([_endpoint(settings)])
    sets |= _both("tunnel", settings.addresses)
    return sets | _resolvers(chain, qube, settings)


def _clients(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    """What each client of a VPN may send into the tunnel."""
    sets = _endpoints_of(chain, chain.clients(qube.name), "client_endpoints")
    for name, address, protocols in (
        ("clients4", address4, _TO_VPN4),
        ("clients6", address6, _TO_VPN6),
    ):
        sets[name] = _set(
            (address(chain, client.name), protocol)
            for client in chain.clients(qube.name)
            for protocol in protocols
            if client.role is Role.WORKSTATION
            or (client.role is Role.TOR_GATEWAY and protocol is Protocol.TCP)
        )
    return sets


def _resolvers(chain: Chain, qube: Qube, settings: VpnSettings) -> dict[str, frozenset[str]]:
    """Workstation -> resolver; a Tor gateway asks no resolver, and relays may use port 53."""
    maps: dict[str, frozenset[str]] = {}
    for version, address in ((4, address4), (6, address6)):
        resolver = next((a for a in settings.dns if a.version == version), None)
        if resolver is not None:
            maps[f"dns{version}"] = frozenset(
                f"{element((address(chain, client.name),))} : {element((resolver,))}"
                for client in chain.clients(qube.name)
                if client.role is Role.WORKSTATION
            )
    return maps


def _passed_on(chain: Chain, qube: Qube) -> dict[str, frozenset[str]]:
    """What a firewall or the uplink carries for the qubes behind it."""
    behind = senders_behind(chain, qube)
    gateways = (sender for sender in behind if sender.role is Role.TOR_GATEWAY)
    tor = _both("tor_clients", _addresses(chain, gateways))
    return _endpoints_of(chain, behind, "endpoints") | tor


def _endpoints_of(chain: Chain, senders: Iterable[Qube], name: str) -> dict[str, frozenset[str]]:
    """The VPNs among the senders: own address, endpoint's address, protocol and port."""
    found: dict[str, frozenset[str]] = {f"{name}4": frozenset(), f"{name}6": frozenset()}
    for sender in senders:
        settings = _settings(sender)
        if settings is None:
            continue
        version = settings.endpoint.address.version
        address = address4 if version == 4 else address6
        words = _set([(address(chain, sender.name), *_endpoint(settings))])
        found[f"{name}{version}"] |= words
    return found


def _wan(chain: Chain) -> dict[str, frozenset[str]]:
    if chain.wan is None:
        return {}
    there = (chain.wan.address4, chain.wan.address6)
    return _both("wan", (address for address in there if address is not None))


def _settings(qube: Qube) -> VpnSettings | None:
    return qube.vpn.settings if qube.vpn is not None else None


def _endpoint(settings: VpnSettings) -> tuple[Value, ...]:
    """Address, protocol and port. ValueError for a protocol that is neither udp nor tcp."""
    endpoint = settings.endpoint
    if endpoint.protocol not in _TRANSPORT:
        raise ValueError(f"the endpoint's protocol is udp or tcp, not {endpoint.protocol!r}")
    return (endpoint.address, _TRANSPORT[endpoint.protocol], Port(endpoint.port))

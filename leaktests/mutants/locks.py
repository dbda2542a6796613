"""Mutants of the other locks: kernel settings and routes, each tried with all rules open.

The rules would mask them, so there are none (`trial.OPEN`). Each lock has an act, which must come
to nothing with the real settings of its role and succeed with the broken one; every mutant has a
bench of its own, since settings count when a link is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from scapy.layers.inet import IP, UDP, IPOption_LSRR
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from leaktests.mutants.bench import Bench
from leaktests.mutants.plugged import Way
from leaktests.mutants.scenes import Scene, scenes
from leaktests.mutants.traffic import WEB
from leaktests.mutants.trial import CAUGHT, OPEN, SILENT, Result
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL, UPLINK, address4, address6
from netchain.model.chain import Address, Role
from netchain.model.sysctls import sysctls
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.flow import Flow

Act = Callable[[Bench], bool]
_FORWARDING = (Role.NET, Role.FIREWALL, Role.VPN_PROXY)
_STILL = (Role.TOR_GATEWAY, Role.WORKSTATION)
_REDIRECTED, _RA_FROM = IPv4Address("10.137.0.99"), IPv6Address("fe80::66")
_OWN_LINK_LOCAL = IPv6Address("fe80::216:3eff:fe5e:6c00")  # of CLIENT_MAC (RFC 4291, appendix A)
_TENTATIVE_S = 10.0
_SENT = b"a lock" + bytes(26)


@dataclass(frozen=True)
class Lock:
    """One lock broken: `values` are settings below /proc/sys, `broken` what is done to the routes.
    Without an act nobody could notice: equivalent.toml says why."""

    id: str
    role: str
    values: Mapping[str, int] = field(default_factory=dict, compare=False)
    routes: Callable[[Bench], None] | None = None
    act: Act | None = None

    @property
    def diff(self) -> tuple[str, ...]:
        lines = [f"+ {path} = {value}" for path, value in self.values.items()]
        return tuple(lines or [f"+ {(self.routes.__doc__ or '').strip()}" if self.routes else ""])


def locks() -> tuple[Lock, ...]:
    """Every lock of every role."""
    return tuple(_of_sysctls()) + tuple(_of_routes())


def _of_sysctls() -> Iterator[Lock]:
    for role in Role:
        for name, (value, roles, act) in _IPV4.items():
            values = {f"net/ipv4/conf/{where}/{name}": value for where in ("all", "default")}
            yield Lock(f"{role}:sysctl:{name}", role, values, None, act if role in roles else None)
        for name, (value, roles, act) in _IPV6.items():
            if name == "accept_ra" and role in _FORWARDING:
                value = 2  # a router takes advertisements only then
            values = {f"net/ipv6/conf/{where}/{name}": value for where in ("all", "default")}
            which = act if role in roles else None
            yield Lock(f"{role}:sysctl:ipv6-{name}", role, values, None, which)
        if role in _STILL:
            four = {f"net/ipv4/conf/{where}/forwarding": 1 for where in ("all", "default")}
            yield Lock(f"{role}:sysctl:ip_forward", role, four, None, _passes)
            six = {f"net/ipv6/conf/{where}/forwarding": 1 for where in ("all", "default")}
            yield Lock(f"{role}:sysctl:ipv6-forwarding", role, six, None, _passes6)


def _of_routes() -> Iterator[Lock]:
    role = Role.VPN_PROXY
    yield Lock(f"{role}:route:default-by-the-uplink", role, {}, _default_by_uplink, _past_tunnel)
    yield Lock(f"{role}:route:without-unreachable", role, {}, _without_unreachable, None)


def result(lock: Lock) -> Result:
    """Try it. OSError when the bench cannot be made.

    The act must fail with the real settings, or it proves nothing: that is a doubt.
    """
    if lock.act is None:
        return Result(SILENT)
    name = f"(act: {(lock.act.__doc__ or '').strip().rstrip('.')})"
    for scene in (scene for scene in scenes() if scene.role == lock.role):
        if _succeeds(scene, Lock(lock.id, lock.role, act=lock.act)):
            return Result(SILENT, doubts=("it succeeds with the real settings, too",))
        if _succeeds(scene, lock):
            return Result(CAUGHT, (name,), detail=name)
    return Result(SILENT)


def _succeeds(scene: Scene, lock: Lock) -> bool:
    assert lock.act is not None
    bench = Bench(scene, {**sysctls(Role(lock.role)), **lock.values}, hostile=False)
    try:
        bench.load(OPEN)
        if lock.routes is not None:
            lock.routes(bench)
        bench.seen()
        return lock.act(bench)
    finally:
        bench.close()


def _through(bench: Bench, link: str, packet: Packet | bytes) -> list[tuple[str, Flow]]:
    """What comes out, and (as of `delivered`) what is taken, when it goes in."""
    frame = bytes(packet) if isinstance(packet, Packet) else bench.framed(link, packet)
    bench.send(link, [frame])
    captured, delivered = bench.seen()
    found = [(name, decode(frame)) for name, frames in captured.items() for frame in frames]
    taken = [bytes(12) + build.ethertype_of(p).to_bytes(2) + p for p in delivered]
    return found + [("delivered", decode(frame)) for frame in taken]


def _client_end(bench: Bench) -> str:
    """A link that no default route leads to."""
    return next(iter(bench.vifs), "stray0")


def _own(bench: Bench, version: int) -> Address:
    find = address4 if version == 4 else address6
    return find(bench.chain, bench.me.name)


def _ether(link: str, group: str = "") -> Ether:
    ends = (NETVM_MAC, CLIENT_MAC) if link == UPLINK else (CLIENT_MAC, NETVM_MAC)
    return Ether(src=ends[0], dst=group or ends[1])


def _spoofed(bench: Bench) -> bool:
    """a packet from a client's side with the source of somebody on the internet is taken"""
    packet = build.udp(WEB[4], _own(bench, 4), 4444, 4444, _SENT)
    seen = _through(bench, _client_end(bench), packet)
    return any(where == "delivered" and flow.dport == 4444 for where, flow in seen)


def _passes(bench: Bench) -> bool:
    """a packet for somebody else is passed on"""
    return _is_passed(bench, 4)


def _passes6(bench: Bench) -> bool:
    """an IPv6 packet for somebody else is passed on"""
    return _is_passed(bench, 6)


def _is_passed(bench: Bench, version: int) -> bool:
    link = next(iter(bench.vifs), UPLINK)
    source: Address = WEB[version] + 1
    if bench.vifs:
        client = bench.vifs[link].name
        source = (address4 if version == 4 else address6)(bench.chain, client)
    packet = build.udp(source, WEB[version], 4444, 4444, _SENT)
    return any(flow.dport == 4444 for _, flow in _through(bench, link, packet))


def _source_route(bench: Bench) -> bool:
    """a packet goes where its source route says"""
    header = IP(src=str(WEB[4]), dst=str(_own(bench, 4)), proto=17,
                options=[IPOption_LSRR(routers=[str(WEB[4] + 1)], pointer=4)])  # fmt: skip
    link = TUNNEL if bench.me.vpn is not None else UPLINK
    packet = _ether(link) / header / UDP(sport=4444, dport=4444) / Raw(_SENT)
    return any(where != "delivered" for where, flow in _through(bench, link, packet)
               if flow.protocol == 17)  # fmt: skip


def _redirect(bench: Bench) -> bool:
    """an ICMP redirect turns a route"""
    dev, gateway = UPLINK, bench.via(UPLINK)[0]
    near = {"do": "neigh", "dev": dev, "address": str(_REDIRECTED), "mac": NETVM_MAC}
    bench.apply([near])
    bench.turn(UPLINK)
    own = bench.source4(UPLINK)
    quoted = build.udp(own, WEB[4], 4444, 4444, _SENT)
    rest = _REDIRECTED.packed + quoted
    message = build.icmp(IPv4Address(gateway), own, 5, 1, rest)
    _through(bench, dev, message)
    return str(_REDIRECTED) in bench.ip("route", "get", str(WEB[4]))


def _advertised(bench: Bench) -> bool:
    """a router advertisement makes a default route"""
    packet = _ether(UPLINK, "33:33:00:00:00:01") / IPv6(
        src=str(_RA_FROM), dst="ff02::1", hlim=255
    ) / ICMPv6ND_RA(routerlifetime=1800)  # fmt: skip
    _through(bench, UPLINK, packet)
    return str(_RA_FROM) in bench.ip("-6", "route", "show", "default")


def _link_local(bench: Bench) -> bool:
    """an address that the kernel made of the MAC address answers"""
    deadline = time.monotonic() + _TENTATIVE_S
    while bench.ip("-6", "addr", "show", "dev", UPLINK, "tentative"):
        if time.monotonic() > deadline:
            raise TimeoutError("an address stays tentative")
    question = _ether(UPLINK) / IPv6(
        src=bench.via(UPLINK)[1], dst=str(_OWN_LINK_LOCAL), hlim=255
    ) / ICMPv6ND_NS(tgt=str(_OWN_LINK_LOCAL))  # fmt: skip
    return any(flow.icmp_type == 136 for _, flow in _through(bench, UPLINK, question))


def _inner_address(bench: Bench) -> bool:
    """ARP on the uplink is answered for an address of another interface"""
    vpn = bench.me.vpn
    inside = vpn.settings.addresses[0] if vpn is not None and vpn.settings else _own(bench, 4)
    asked = _ether(UPLINK, "ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", hwsrc=NETVM_MAC, psrc=bench.via(UPLINK)[0], pdst=str(inside)
    )
    return any(flow.arp_operation == 2 for _, flow in _through(bench, UPLINK, asked))


def _told_better(bench: Bench) -> bool:
    """a packet that goes back where it came from makes the qube tell of a better way"""
    bench.way(Way.UPLINK)
    neighbour = IPv4Address(bench.via(UPLINK)[0])
    packet = build.udp(neighbour, WEB[4], 4444, 4444, _SENT)
    return any(flow.icmp_type == 5 for _, flow in _through(bench, UPLINK, packet))


def _past_tunnel(bench: Bench) -> bool:
    """with the tunnel down, a client's packet leaves by the uplink"""
    bench.cut(TUNNEL)
    vif, client = next(iter(bench.vifs.items()))
    packets = [
        build.udp(find(bench.chain, client.name), WEB[version], 4444, 4444, _SENT)
        for version, find in ((4, address4), (6, address6))
    ]
    return any(where == UPLINK and flow.dport == 4444 for packet in packets
               for where, flow in _through(bench, vif, packet))  # fmt: skip


def _default_by_uplink(bench: Bench) -> None:
    """ip route add default via the netvm, metric 4000"""
    for via in bench.via(UPLINK):
        bench.apply([bench.default(UPLINK, via, 4000)])


def _without_unreachable(bench: Bench) -> None:
    """ip route del unreachable default"""
    for family in ("-4", "-6"):
        bench.ip(family, "route", "del", "unreachable", "default")


_IPV4: Mapping[str, tuple[int, tuple[Role, ...], Act | None]] = {
    "rp_filter": (0, tuple(Role), _spoofed),
    "accept_redirects": (1, tuple(Role), _redirect),
    "secure_redirects": (1, (), None),
    "send_redirects": (1, _FORWARDING, _told_better),
    "accept_source_route": (1, _FORWARDING, _source_route),
    "arp_ignore": (0, (Role.NET, Role.VPN_PROXY), _inner_address),
    "arp_announce": (0, (), None),
}
"""Setting: its broken value, the roles in which somebody can notice, and how."""
_IPV6: Mapping[str, tuple[int, tuple[Role, ...], Act | None]] = {
    "accept_ra": (1, tuple(Role), _advertised),
    "accept_redirects": (1, (), None),
    "accept_source_route": (0, (), None),
    "addr_gen_mode": (0, tuple(Role), _link_local),
    "autoconf": (1, (), None),
    "dad_transmits": (1, (), None),
    "router_solicitations": (3, (), None),
}

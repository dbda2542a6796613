"""A qube of a scene in a namespace of its own: its links, addresses and routes, and its rules.

Wiring, addresses and MACs are the real ones (`backends/netns/wiring.py`); the kernel's own locks
are open (`WEAK`) and the routes hostile (`Way`), so that what holds here is held by the rules
alone. The far ends of the links are bare veth ends in another namespace, and answer nothing.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from leaktests.mutants.scenes import Scene
from netchain.backends.base import Tunnel
from netchain.backends.netns import syscalls, wiring
from netchain.backends.netns.changes import veth
from netchain.backends.netns.netlink import Netlink, own_netns
from netchain.backends.netns.rules import RuleLoader
from netchain.model import addressing
from netchain.model.addressing import (
    CLIENT_MAC,
    GROUP_UPLINK,
    NETVM_MAC,
    TUNNEL,
    UPLINK,
)
from netchain.model.chain import Address, Chain, Qube, Role

STRAY = "stray0"
WEAK: Mapping[str, int] = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/accept_source_route": 1,
    "net/ipv4/conf/default/accept_source_route": 1,
    "net/ipv4/conf/all/arp_ignore": 1,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/forwarding": 1,
    "net/ipv6/conf/default/accept_source_route": 1,
    "net/ipv6/conf/default/dad_transmits": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,
    "net/ipv6/conf/default/router_solicitations": 0,
}
QUIET: Mapping[str, int] = {
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv4/icmp_msgs_per_sec": 1000000,
    "net/ipv4/icmp_msgs_burst": 1000000,
    "net/ipv6/icmp/ratelimit": 0,
    "net/ipv6/conf/default/mldv1_unsolicited_report_interval": 1,
    "net/ipv6/conf/default/mldv2_unsolicited_report_interval": 1,
    "net/netfilter/nf_conntrack_tcp_be_liberal": 1,
    "net/netfilter/nf_conntrack_udp_timeout": 600,
    "net/netfilter/nf_conntrack_udp_timeout_stream": 600,
    "net/netfilter/nf_conntrack_icmp_timeout": 600,
    "net/netfilter/nf_conntrack_icmpv6_timeout": 600,
}
"""So that verdicts depend on no clock; what this kernel does not have is left out."""
_UPLINK_MTU = 1400  # so that there are packets that are too big for it
_ROUTER6 = "fe80::2"
_NETFILTER, _CT_DELETE = (
    12,
    0x0102,
)  # NETLINK_NETFILTER; NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_TIMEOUT_S = 20.0


class Way(StrEnum):
    """Where the default route leads, before any other."""

    NORMAL = "normal"
    UPLINK = "uplink"  # also to the clients: their routes are lost
    STRAY = "stray"


class Plugged:
    """The qube, wired, without rules. This process stands in its namespace until `close`."""

    def __init__(
        self, scene: Scene, sysctls: Mapping[str, int] = WEAK, *, hostile: bool = True
    ) -> None:
        """`hostile` adds a default route to every interface, behind the real ones."""
        self.scene, self.chain, self.me = scene, scene.chain, scene.qube
        self._home = own_netns()
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._far_ns = own_netns()
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._ns = own_netns()
        self.rules = RuleLoader()
        self._flows = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self._flows.bind((0, 0))
        self._netlink, self._far_netlink = Netlink(self._ns), Netlink(self._far_ns)
        for path, value in {**QUIET, **sysctls}.items():
            target = Path("/proc/sys", path)
            if target.exists():
                target.write_text(str(value))
        self.vifs: dict[str, Qube] = {
            addressing.downstream_interface(self.chain, client.name): client
            for client in self.chain.clients(self.me.name)
        }
        tunnel = [TUNNEL] if self.me.vpn is not None else []
        self.links = (UPLINK, *self.vifs, *tunnel, STRAY)
        self._index: dict[str, int] = {"lo": 1}
        self._netlink.apply([{"do": "link", "index": 1}])
        self._way: Way | None = None
        self._plug(hostile)

    def close(self) -> None:
        self.rules.close()
        self._flows.close()
        self._netlink.close()
        self._far_netlink.close()
        syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        for fd in (self._ns, self._far_ns, self._home):
            os.close(fd)

    def _plug(self, hostile: bool) -> None:
        for name in self.links:
            self._veth(name)
        net = self.me.netvm is None
        ends = list(
            wiring.uplink_ends(self.chain)[0] if net else wiring.client_end(self.chain, self.me)
        )
        for client in self.vifs.values():  # their routes are `way`'s
            ends += [c for c in wiring.netvm_end(self.chain, client) if c["do"] != "route"]
        if self.me.vpn is not None and self.me.vpn.settings is not None:
            vpn = self.me.vpn.settings
            ends = [*ends, *wiring.tunnel(Tunnel(TUNNEL, vpn.addresses, vpn.mtu))]
        self.apply(ends)
        self.apply([{"do": "link", "dev": STRAY, "group": 0}])
        if self.me.role in (Role.NET, Role.FIREWALL):
            self.apply([{"do": "link", "dev": UPLINK, "group": GROUP_UPLINK, "mtu": _UPLINK_MTU}])
        self.apply({"do": "neigh", "dev": vif, "address": _ROUTER6, "mac": CLIENT_MAC}
                   for vif in self.vifs)  # fmt: skip
        if hostile:
            for number, dev in enumerate(self.links, 1000):
                self.apply(self.default(dev, via, number) for via in self.via(dev))
            self.way(Way.NORMAL)
        else:
            self.apply(self._to_clients(lost=False))
        self._await_addresses(sum(c["do"] == "addr" and ":" in c["address"] for c in ends))

    def _veth(self, name: str) -> None:
        """The interface, and its far end, which answers nothing by itself."""
        number = 10 + len(self._index)
        self._index[name] = number
        mac, far = (CLIENT_MAC, NETVM_MAC) if name == UPLINK else (NETVM_MAC, CLIENT_MAC)
        one = {"name": f"f-{name}", "mac": far, "netns": self._far_ns, "index": number}
        other = {"name": name, "mac": mac, "netns": self._ns, "index": number}
        self._far_netlink.apply([veth(one, other)])
        with _within(self._far_ns, self._ns):
            Path(f"/proc/sys/net/ipv6/conf/f-{name}/disable_ipv6").write_text("1")
            _ip("link", "set", f"f-{name}", "arp", "off")
        self._far_netlink.apply([{"do": "link", "index": number}])
        for table in ("arp_cache", "ndisc_cache"):  # the kernel asks nobody, at no time
            asks = ("mcast_probes", "0", "ucast_probes", "0", "app_probes", "0")
            _ip("ntable", "change", "name", table, "dev", name, *asks)
        if name in (TUNNEL, STRAY):
            _ip("link", "set", name, "arp", "off")

    def _await_addresses(self, count: int) -> None:
        """An IPv6 address is usable when the kernel's work queue has made its local route."""
        deadline = time.monotonic() + _TIMEOUT_S
        words = ("-6", "route", "show", "type", "local", "table", "local")
        while len(_ip(*words).splitlines()) < count + 1:  # and loopback's
            if time.monotonic() > deadline:
                raise TimeoutError("the qube's IPv6 addresses do not become usable")

    def apply(self, changes: Iterable[Mapping[str, Any]]) -> None:
        """Changes of wiring, by the name of the interface."""
        self._netlink.apply(
            {**{k: v for k, v in c.items() if k != "dev"}, "index": self._index[c["dev"]]}
            if "dev" in c
            else c
            for c in changes
        )

    def via(self, dev: str) -> tuple[str, str]:
        """Somebody at the far end of the interface, IPv4 and IPv6."""
        if dev in self.vifs:
            near: tuple[Address | None, ...] = _both(self.chain, self.vifs[dev])
        elif dev != UPLINK:
            near = ip_address("169.254.0.1"), ip_address("fe80::1")
        elif self.me.netvm is not None:
            near = _both(self.chain, self.chain[self.me.netvm])
        else:
            assert self.chain.wan is not None
            near = self.chain.wan.gateway4, self.chain.wan.gateway6
        return str(near[0]), str(near[1])

    def way(self, way: Way) -> None:
        """Turn the routes."""
        if way is self._way:
            return
        self._way = way
        normal = TUNNEL if TUNNEL in self._index else UPLINK
        self.turn({Way.NORMAL: normal, Way.UPLINK: UPLINK, Way.STRAY: STRAY}[way])
        self.apply(self._to_clients(lost=way is Way.UPLINK))

    def turn(self, dev: str) -> None:
        """The default routes lead out of the interface."""
        self.apply(self.default(dev, via, 1) for via in self.via(dev))

    def _to_clients(self, *, lost: bool) -> Iterator[Mapping[str, Any]]:
        for vif, client in self.vifs.items():
            dev = UPLINK if lost else vif
            for behind in addressing.senders_behind(self.chain, client):
                # Always with a gateway: the kernel replaces an IPv6 route only by one of its kind.
                near = str(addressing.address4(self.chain, client.name)), _ROUTER6
                ends = _both(self.chain, behind), self.via(UPLINK) if lost else near
                for to, via in zip(*ends, strict=True):
                    yield {"do": "route", "dev": dev, "to": _host(to), "via": via, "metric": 1}

    @staticmethod
    def default(dev: str, via: str, metric: int) -> Mapping[str, Any]:
        """A default route, of the family of its gateway."""
        everywhere = "::/0" if ":" in via else "0.0.0.0/0"
        return {"do": "route", "dev": dev, "to": everywhere, "via": via, "metric": metric}

    def source4(self, dev: str) -> IPv4Address:
        """The qube's own address on the uplink, or elsewhere."""
        wan = self.chain.wan
        if dev == UPLINK and self.me.netvm is None and wan is not None:
            return wan.address4
        return addressing.address4(self.chain, self.me.name)

    def ip(self, *words: str) -> str:
        """What `ip` says in the qube. CalledProcessError when it refuses."""
        return _ip(*words)

    def load(self, text: str) -> None:
        """One transaction of nft. OSError with what nft said."""
        self.rules.run(self._ns, text)

    def listing(self) -> str:
        """`nft -j list ruleset` with counters."""
        return self.rules.run(self._ns, "list ruleset", json=True, counters=True)

    def forget_flows(self) -> None:
        """Empty the table of flows (ctnetlink's DELETE without a filter)."""
        self._flows.send(struct.pack("=IHHIIBBH", 20, _CT_DELETE, 5, 1, 0, 0, 0, 0))
        error = struct.unpack_from("=i", self._flows.recv(4096), 16)[0]
        if error:
            raise OSError(-error, f"flows cannot be forgotten: {os.strerror(-error)}")

    def within(self, far: bool) -> AbstractContextManager[None]:
        """A context in which this thread stands in the namespace of the far ends, or the qube's."""
        return _within(self._far_ns if far else self._ns, self._ns)


def _both(chain: Chain, qube: Qube) -> tuple[Address, Address]:
    return addressing.address4(chain, qube.name), addressing.address6(chain, qube.name)


def _host(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextmanager
def _within(there: int, back: int) -> Iterator[None]:
    syscalls.setns(there, syscalls.CLONE_NEWNET)
    try:
        yield
    finally:
        syscalls.setns(back, syscalls.CLONE_NEWNET)

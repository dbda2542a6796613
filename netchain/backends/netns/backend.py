"""The namespaces backend: `Backend` over a keeper."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from netchain.backends.base import Completed, Service, Tunnel, Uids, User
from netchain.backends.netns import compare, drift, volume, wiring
from netchain.backends.netns.client import KeeperClient, log_path
from netchain.backends.netns.compare import Network
from netchain.backends.netns.listings import Loaded, key, loaded, role_table, table
from netchain.backends.netns.switching import Switching, node_of, used_label, used_uplink
from netchain.backends.netns.watching import Watching
from netchain.errors import NetchainError, Problem
from netchain.model import addressing
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, TUNNEL, UPLINK
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import peer
from netchain.nft.disposables import admission, comparable
from netchain.nft.fill import BLOCKED_TABLE, TABLE
from netchain.resources import data_dir
from netchain.vpn.wireguard import SERVICE
from netchain.vpn.wireguard_go import tun_flags

_AT_ONCE = 50  # texts that are checked in one request, some 2 ms each
_CHANGED = "changed"
"""The version of a VPN whose tunnel is not as it was made: no configuration has it."""


class NetnsBackend(Switching, Watching):
    """Qubes as network namespaces of one site; `router` is the node that sells the uplink."""

    def __init__(self, keeper: KeeperClient, router: str) -> None:
        self.keeper = keeper
        self._router = router
        self._blocked = (data_dir() / "firewall_rules" / "blocked.nft").read_text()

    def observe(self, chain: Chain, only: QubeName | None = None) -> Observed:
        prefix = f"{chain.name}:"
        found = self.keeper.ask("observe", prefix=prefix)["nodes"]
        links = {_name(n): wiring.read_label(used_label(s["uplinks"]))[0] for n, s in found.items()}
        prefix += only or ""
        dumps = self.keeper.ask("network", prefix=prefix)["nodes"]
        networks = {node: compare.network(dump["has"]) for node, dump in dumps.items()}
        strange = {node: dump["strange"] for node, dump in dumps.items()}
        rules = self.keeper.ask("loaded", prefix=prefix)["nodes"]
        qubes = {}
        for node, state in found.items():
            if node not in rules or only not in (None, _name(node)):
                continue  # it ended meanwhile
            name, has = _name(node), Loaded(*rules[node])
            services = _services(state)
            if services.get(SERVICE) and _tunnel_changed(chain, name, networks.get(node)):
                services[SERVICE] = _CHANGED
            uplink = used_uplink(state["uplinks"])
            link, wired = wiring.read_label(used_label(state["uplinks"]))
            networks[node] = compare.as_the_only(uplink, networks.get(node, compare.NOTHING))
            if len(state["uplinks"]) > 1 or _rewired(chain, name, link, networks):
                wired = ""
            blocked = has.blocked == self._blocked_digest
            tables = drift.tables(has.tables, blocked=blocked)
            differs, altered = drift.find(
                chain, name, links, networks[node], [*strange.get(node, ()), *tables]
            )
            qubes[name] = ObservedQube(
                blocked=blocked,
                role=Role(state["role"]),
                rules=has.rules,
                link=link,
                wiring=wired,
                services=services,
                differs=differs,
                altered=altered,
                programs=drift.programs(state["services"]),
            )
        return Observed(qubes)

    def living(self, chain: Chain) -> Observed:
        """Their links by their labels, whatever became of those; all count as open."""
        found = self.keeper.ask("observe", prefix=f"{chain.name}:")["nodes"]
        qubes = {}
        for node, state in found.items():
            link, _ = wiring.read_label(used_label(state["uplinks"]))
            have = ObservedQube(blocked=False, link=link, services=_services(state))
            qubes[_name(node)] = have
        return Observed(qubes)

    @cached_property
    def _blocked_digest(self) -> str:
        """blocked.nft as the kernel lists it: a table of that name with other content is none."""
        listing: str = self.keeper.ask("check", text=self._blocked)["output"]
        return loaded(listing).blocked

    def uids(self) -> Uids:
        return self._uids

    @cached_property
    def _uids(self) -> Uids:
        answer = self.keeper.ask("hello")
        return Uids(answer["tor"], answer["proved"])

    def check_rules(self, text: str) -> str:
        listing: str = self.keeper.ask("check", text=text)["output"]
        return role_table(listing)

    def check_all(self, texts: Sequence[str]) -> list[str | NetchainError]:
        """Only what the rule loader does not know yet is sent, and checked, in some requests."""
        keys = [key(text) for text in texts]
        found: dict[str, str | NetchainError] = self.keeper.ask("known", keys=keys)["digests"]
        new = {name: text for name, text in zip(keys, texts, strict=True) if name not in found}
        names = list(new)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            answers = self.keeper.ask("learn", texts=[new[name] for name in some])["texts"]
            for name, answer in zip(some, answers, strict=True):
                found[name] = answer.get("digest") or _refused(answer["error"])
        return [found[name] for name in keys]

    def create(self, chain: Chain, qube: QubeName) -> None:
        """A disposable has its volume in memory, and ends with this backend's connection."""
        tied = None
        if chain[qube].dispid:
            rules = [f"delete {line}" for line in admission(chain, chain[qube])]
            tied = {"node": node_of(chain, str(chain[qube].netvm)), "rules": rules}
        spec, node = volume.spec(chain, chain[qube]), node_of(chain, qube)
        self.keeper.ask("create", node=node, spec=spec, rules=self._blocked, tied=tied)

    def remove(self, chain: Chain, qube: QubeName) -> None:
        self.keeper.ask("remove", node=node_of(chain, qube))

    def end(self, chain: Chain, qubes: Sequence[QubeName]) -> None:
        self.keeper.ask("end", nodes=[node_of(chain, qube) for qube in qubes])

    def wiring(self, chain: Chain, qube: QubeName) -> str:
        return wiring.wires(chain, chain[qube]).version

    def attach(self, chain: Chain, qube: QubeName) -> None:
        client, node = chain[qube], node_of(chain, qube)
        wires = wiring.wires(chain, client)
        netvm = node_of(chain, client.netvm) if client.netvm else self._router
        ends = [
            {"node": netvm, "name": wires.interface, "mac": NETVM_MAC},
            {"node": node, "name": UPLINK, "mac": CLIENT_MAC},
        ]
        changes = [[netvm, wires.netvm_end], [node, wires.client_end]]
        self.keeper.ask("wire", ends=ends, changes=changes, names={"node": node, **wires.names})
        self.keeper.ask("configure", node=node, changes=[wires.label()])

    def detach(self, chain: Chain, qube: QubeName) -> None:
        for uplink in self._uplinks(chain, qube) or (UPLINK,):
            self.keeper.ask("unwire", node=node_of(chain, qube), name=uplink)

    def block(self, chain: Chain, qube: QubeName) -> None:
        self.keeper.ask("rules", node=node_of(chain, qube), text=self._blocked, closes=True)

    def unblock(self, chain: Chain, qube: QubeName) -> None:
        self.load_rules(chain, qube, f"delete table {BLOCKED_TABLE}\n")

    def load_rules(self, chain: Chain, qube: QubeName, text: str) -> None:
        self.keeper.ask("rules", node=node_of(chain, qube), text=text)

    def list_rules(self, chain: Chain, qube: QubeName) -> str:
        answer = self.keeper.ask("rules", node=node_of(chain, qube), text="list ruleset")
        return comparable(table(str(answer["output"]), TABLE))

    def add_tunnel(self, chain: Chain, qube: QubeName, tunnel: Tunnel) -> bool:
        changes = wiring.tunnel(tunnel)
        answer = self.keeper.ask(
            "tunnel", node=node_of(chain, qube), name=tunnel.name, changes=changes,
            tun_flags=tun_flags(),
        )  # fmt: skip
        return bool(answer["kernel"])

    def mark_tunnel(self, chain: Chain, qube: QubeName, name: str, version: str) -> None:
        label = {"do": "link", "dev": name, "alias": version}
        self.keeper.ask("configure", node=node_of(chain, qube), changes=[label])

    def remove_tunnel(self, chain: Chain, qube: QubeName, name: str) -> None:
        self.keeper.ask("remove_tunnel", node=node_of(chain, qube), name=name)

    def start_service(self, chain: Chain, qube: QubeName, service: Service) -> None:
        start_service(self.keeper, node_of(chain, qube), service)

    def stop_service(self, chain: Chain, qube: QubeName, name: str) -> None:
        self.keeper.ask("stop_service", node=node_of(chain, qube), name=name)

    def execute(
        self,
        chain: Chain,
        qube: QubeName,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30,
        user: User = User.ROOT,
    ) -> Completed:
        return self.keeper.execute(node_of(chain, qube), argv, stdin, timeout, user)

    def taps(self, chain: Chain, links: Sequence[Link]) -> dict[str, socket.socket]:
        return {link.name: self.packet_socket(*self._netvm_end(chain, link)) for link in links}

    def injector(self, chain: Chain, link: Link, direction: Direction) -> socket.socket:
        if direction is Direction.UP and not link.tunnel:
            return self.packet_socket(
                node_of(chain, link.client), self.uplink(chain, link), inject=True
            )
        return self.packet_socket(*self._netvm_end(chain, link), inject=True)

    def _netvm_end(self, chain: Chain, link: Link) -> tuple[str, str]:
        """Node and interface: the netvm's, the router's, or the tunnel's own."""
        if link.tunnel:
            return node_of(chain, link.client), TUNNEL
        if link.netvm is None:
            assert chain.wan is not None
            return self._router, chain.wan.port
        interface = addressing.downstream_interface(chain, link.client)
        return node_of(chain, link.netvm), interface

    def packet_socket(self, node: str, interface: str, *, inject: bool = False) -> socket.socket:
        """A packet socket on any interface of the site (the lab's too): armed, or to send with."""
        return self.keeper.ask_socket("packet_socket", node=node, name=interface, inject=inject)

    def volume(self) -> PurePosixPath:
        return volume.VOLUME

    def connect(self, chain: Chain, qube: QubeName, path: PurePosixPath) -> socket.socket:
        return self.keeper.ask_socket("connect", node=node_of(chain, qube), path=str(path))


def start_service(keeper: KeeperClient, node: str, service: Service) -> None:
    """Start a supervised program in any node of the site."""
    keeper.ask(
        "start",
        node=node,
        log=str(log_path(keeper.directory, node, service.name)),
        service={
            "name": service.name,
            "argv": service.argv,
            "user": service.user,
            "setup": [{"argv": c.argv, "stdin": c.stdin.hex()} for c in service.setup],
            "tunnel": service.tunnel,
            "owns": [str(path) for path in service.owns],
            "environment": dict(service.environment),
            "version": service.version,
        },
    )


def _rewired(
    chain: Chain, name: QubeName, link: QubeName | None, networks: Mapping[str, Network]
) -> bool:
    """Whether the qube's link is otherwise than it was wired, at either end: one that went down has
    lost its routes, and still its label."""
    qube = chain.get(name)
    if qube is None or link is None or link != peer(qube):
        return False
    own = networks.get(node_of(chain, name), compare.NOTHING)
    netvm = None
    if qube.netvm is not None:
        netvm = networks.get(node_of(chain, qube.netvm), compare.NOTHING)
    return bool(compare.differs(chain, qube, own, netvm))


def _tunnel_changed(chain: Chain, name: QubeName, own: Network | None) -> bool:
    """Whether the tunnel has not got what the VPN's settings say: it was down, or is gone."""
    qube = chain.get(name)
    vpn = qube.vpn if qube is not None else None
    if vpn is None or vpn.settings is None:
        return False
    spec = Tunnel(TUNNEL, vpn.settings.addresses, vpn.settings.mtu)
    return bool(compare.tunnel_differs(spec, own or compare.NOTHING))


def _name(node: str) -> QubeName:
    return QubeName(node.partition(":")[2])


def _services(state: Mapping[str, Any]) -> dict[str, str]:
    """The version of each service; "" for one that does not run, or is not set up yet."""
    return {n: s["version"] if s["running"] else "" for n, s in state["services"].items()}


def _refused(words: str) -> NetchainError:
    return NetchainError(Problem("E052", f"nft: {words}"))

"""The demo: the chain proved on this computer, and what everyone on the way saw.

Theory of operation: each row of the table (direct, VPN, Tor, VPN and Tor) is the same page,
fetched once, with taps at every place on the private internet; a cell is what passed there. The
main chain is judged link by link by `allowed()`. Then the control: the same fetch with the rules
opened, hop by hop, must be seen outside and judged a leak, or the sensors are worth nothing.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from netchain import apply
from netchain.backends.base import User
from netchain.demo import control, observers
from netchain.errors import Exit, NetchainError, Problem
from netchain.lab import internet, tornet
from netchain.lab.lab import Lab
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC
from netchain.model.chain import Chain, Role
from netchain.model.names import ChainName
from netchain.prove import Sensor, Verdict
from netchain.readiness import progress
from netchain.resources import data_dir
from netchain.site import Site
from netchain.wire import build
from netchain.wire.capture import Captured, Mark
from netchain.wire.tap import Tap

_FETCH_S = 30.0
_CANARY_S = 10.0
Say = Callable[[str], None]


@dataclass
class Result:
    """Everything that the demo saw; `document` is what --json prints."""

    document: dict[str, Any] = field(default_factory=dict)
    captures: dict[str, list[Captured]] = field(default_factory=dict)
    exit_code: Exit = Exit.DONE


class Demo:
    """One run in a lab. `rows` are the profiles beside the main one."""

    def __init__(self, lab: Lab, say: Say) -> None:
        self._lab, self._say = lab, say
        self._backend = lab.backend()
        self._seconds: dict[str, float] = {}
        self._observers = Tap({})
        for host in internet.HOSTS:
            self._observers.add(host.name, *self._port(host.port))
        inner = self._backend.packet_socket(f"lab:{internet.PROVIDERS[0]}", "wg0")
        self._observers.add("inner", inner)

    def close(self) -> None:
        self._observers.close()

    def _port(self, name: str) -> tuple[socket.socket, socket.socket]:
        """A tap on a port of the router, and a socket to send a canary through."""
        injector = self._lab.keeper.ask_socket(
            "packet_socket", node=internet.ROUTER, name=name, inject=True
        )
        return self._backend.packet_socket(internet.ROUTER, name), injector

    def _observed(self, before: Mark) -> dict[str, list[Captured]]:
        """What every observer heard since the mark; two canaries each, so that the reader has been
        round all of them twice (the provider's inner interface takes no Ethernet canary)."""
        for _ in range(2):
            _flush(self._observers, _names())
        return {n: self._observers.frames(n, before) for n in (*_names(), "inner")}

    def run(self, parse: Callable[[str], Chain]) -> Result:
        """The main chain, its judgement and its control, then the other rows."""
        result = Result()
        rows = {}
        with self._chain(parse("vpn-before-tor")) as (chain, site):
            rows["VPN + Tor"], page = self._row(chain, site)
            verdict = self._settled(chain, site)
            result.captures = {n: self._heard(site, n) for n in site.sensor.injected}
            bootstrap = self._bootstrap(chain, site)
            opened = self._timed("control", lambda: control.run(chain, site, self._say))
        for label, profile in (("Tor", "tor-only"), ("VPN", "vpn-only")):
            with self._chain(parse(profile)) as (other, other_site):
                rows[label], _ = self._row(other, other_site)
        rows["direct"] = self._timed("direct", self._direct)
        self._conclude(result, chain, verdict, opened, page, bootstrap)
        order = ("direct", "VPN", "Tor", "VPN + Tor")
        result.document["who_sees_what"] = {label: rows[label] for label in order}
        result.document["seconds"] = {k: round(v, 2) for k, v in self._seconds.items()}
        return result

    def _timed(self, phase: str, action: Callable[[], Any]) -> Any:
        start = time.monotonic()
        done = action()
        self._seconds[phase] = time.monotonic() - start
        return done

    @contextmanager
    def _chain(self, chain: Chain) -> Iterator[tuple[Chain, Site]]:
        """The chain up, under a name of the demo's own, and down again afterwards."""
        profile = str(chain.name)
        named = replace(chain, name=ChainName.parse(f"demo-{profile}"))
        resolved, vpns = self._lab.resolve(named, data_dir() / "profiles")
        with Sensor(self._backend) as sensor:
            site = Site(self._backend, sensor, vpns, self._lab.tor_lines(), say=self._say)
            try:
                self._timed(f"up {profile}", lambda: apply.up(resolved, site))
                yield resolved, site
            finally:
                self._timed(f"down {profile}", lambda: apply.down(resolved, site))

    def _row(self, chain: Chain, site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
        """Fetch the page from the workstation; who saw what, and the page."""
        token = f"page-{secrets.token_hex(8)}"
        before = self._observers.mark()
        seen = site.sensor.tap.mark()
        workstation = chain.with_role(Role.WORKSTATION)[0]
        self._say(f"fetch http://{internet.SITE_NAME}/{token} from {workstation.name}")
        page = self._timed(f"page {chain.name}", lambda: self._fetch(chain, site, token))
        frames = self._observed(before)
        site.sensor.settle()
        assert chain.wan is not None
        isp = site.sensor.tap.frames("isp", seen)
        proxies = chain.with_role(Role.VPN_PROXY)
        inner = [a for q in proxies if q.vpn and q.vpn.settings for a in q.vpn.settings.addresses]
        book = observers.address_book(chain.wan, inner)
        has_tor = bool(chain.with_role(Role.TOR_GATEWAY))
        cells = self._cells(frames, isp, book, token, has_vpn=bool(proxies), has_tor=has_tor)
        return cells, page

    def _cells(
        self, frames: dict[str, list[Captured]], isp: list[Captured], book: dict[Any, str],
        token: str, *, has_vpn: bool, has_tor: bool,
    ) -> dict[str, Any]:  # fmt: skip
        def sees(captured: list[Captured], own: str) -> dict[str, object]:
            return observers.sees(captured, book, own, token)

        provider = internet.PROVIDERS[0]
        cells: dict[str, Any] = {"ISP": sees(isp, "")}
        cells["VPN provider"] = (
            sees(frames["inner"] + frames[provider], observers.VPN) if has_vpn else None
        )
        peers = (
            [internet.host(provider).address4] if has_vpn else [a for a in book if book[a] == "you"]
        )
        relays = [n.name for n in tornet.NODES]
        first = observers.busiest(frames, relays, peers[0]) if has_tor else ""
        cells["first relay"] = sees(frames[first], "") if first else None
        exits = observers.carriers(frames, relays, token) if has_tor else []
        cells["exit"] = sees(frames[exits[0]], observers.EXIT) if exits else None
        with_page = [c for c in frames[internet.SITE] if b"GET /" in c.frame]
        cells["site"] = sees(with_page, internet.SITE_NAME)
        return cells

    def _fetch(self, chain: Chain, site: Site, token: str) -> dict[str, Any]:
        url = f"http://{internet.SITE_NAME}/{token}"
        argv = ["curl", "-sS", "--retry", "2", "--retry-all-errors", "-m", f"{_FETCH_S:g}", url]
        workstation = chain.with_role(Role.WORKSTATION)[0].name
        done = site.backend.execute(
            chain, workstation, argv, timeout=3 * _FETCH_S, user=User.PERSON
        )
        if done.status:
            words = done.stderr.decode(errors="replace").strip()
            raise NetchainError(Problem("E090", f"no page: {words}", str(workstation)))
        page: dict[str, Any] = json.loads(done.stdout)
        return page

    def _settled(self, chain: Chain, site: Site) -> Verdict:
        doubts = site.sensor.settle()
        verdict = site.sensor.verdict(chain, site.timeline)
        return Verdict(verdict.links, (*doubts, *verdict.doubts))

    def _heard(self, site: Site, link: str) -> list[Captured]:
        """What the link carried, without the frames that we sent ourselves."""
        ours = site.sensor.injected[link]
        return [c for c in site.sensor.tap.frames(link) if c.frame not in ours]

    def _bootstrap(self, chain: Chain, site: Site) -> int:
        return progress(chain, site.backend, chain.with_role(Role.TOR_GATEWAY)[0])[0]

    def _direct(self) -> dict[str, Any]:
        """A computer plugged straight into the router fetches the page, without any protection."""
        keeper, node = self._lab.keeper, "demo-direct:you"
        wan = internet.wan(internet.MAX_PORTS - 1)
        assert wan.address6 is not None
        host = internet.Host("you", wan.address4, wan.address6, "p-you")
        dns = internet.host(internet.DNS).address4
        keeper.ask("create", node=node, spec={"hostname": "you", "resolv": [str(dns)]})
        try:
            own, router = internet.wiring(host)
            ends = internet.ends(host)
            ends[1]["node"] = node
            changes = [[internet.ROUTER, router], [node, own]]
            keeper.ask("wire", ends=ends, changes=changes)
            token = f"page-{secrets.token_hex(8)}"
            book = observers.address_book(wan, ())
            with Tap({}) as tap:
                tap.add("isp", *self._port("p-you"))
                before = self._observers.mark()
                argv = ["curl", "-sS", "-m", "10", f"http://{internet.SITE_NAME}/{token}"]
                done = keeper.execute(node, argv, b"", 20, User.PERSON)
                if done.status:
                    raise NetchainError(Problem("E090", f"no page: {done.stderr.decode()}"))
                frames = self._observed(before)
                _flush(tap, ["isp"])
                isp = tap.frames("isp")
            return self._cells(frames, isp, book, token, has_vpn=False, has_tor=False)
        finally:
            keeper.ask("remove", node=node)

    def _conclude(
        self, result: Result, chain: Chain, verdict: Verdict, opened: dict[str, Any],
        page: dict[str, Any], bootstrap: int,
    ) -> None:  # fmt: skip
        links = [
            {"link": v.link, "frames": v.frames, "not_allowed": len(v.leaks),
             "first": str(v.leaks[0]) if v.leaks else None}
            for v in verdict.links
        ]  # fmt: skip
        doubts = list(verdict.doubts)
        doubts += control.doubts(opened)
        if bootstrap != 100:
            doubts.append(f"Tor is at {bootstrap} %")
        word = "leak" if verdict.leaks else "inconclusive" if doubts else "clean"
        codes = {"leak": Exit.LEAK, "inconclusive": Exit.INCONCLUSIVE, "clean": Exit.DONE}
        result.exit_code = codes[word]
        vpns = [q.vpn.settings for q in chain.qubes if q.vpn and q.vpn.settings]
        result.document = {
            "schema": "netchain/1",
            "chain": "vpn-before-tor",
            "qubes": [{"name": q.name, "role": q.role, "label": q.label, "netvm": q.netvm}
                      for q in chain.from_uplink()],
            "verdict": word,
            "doubts": doubts,
            "tor": {"bootstrap": bootstrap},
            "page": page,
            "links": links,
            "control": opened,
            "vpn_endpoints": [
                {"address": str(s.endpoint.address), "protocol": s.endpoint.protocol,
                 "port": s.endpoint.port}
                for s in vpns
            ],
        }  # fmt: skip


def _flush(tap: Tap, links: list[str]) -> None:
    """Wait until the tap has heard what was on the links before this call."""
    token = secrets.token_bytes(16)
    for link in links:
        tap.inject(link, build.canary(NETVM_MAC, CLIENT_MAC, token))
    deaf = tap.wait_for(token, links, _CANARY_S)
    if deaf:
        where = ", ".join(sorted(deaf))
        raise NetchainError(Problem("E081", f"not heard: the canary on {where}"), Exit.INCONCLUSIVE)


def _names() -> list[str]:
    return [host.name for host in internet.HOSTS]

"""The control: with one gateway opened like a plain router, every probe must be seen to leak.

A detector that was never seen to fire proves nothing. Only in the lab: what passes there reaches
nobody. Afterwards the gateway is blocked, and its routes are as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from leaktests.engine import sweep
from leaktests.engine.outcome import Control
from leaktests.engine.probe import Probe
from leaktests.engine.shot import Markers, Shot
from netchain.demo.control import OPEN_RULES
from netchain.errors import NetchainError, Problem
from netchain.model.addressing import address4, address6
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain, Qube, Role
from netchain.site import Site


def run(chain: Chain, site: Site, shots: Sequence[Shot], markers: Markers) -> Control:
    """Open the gateway, sweep, close it. What any link carried meanwhile counts for the control
    alone. The chain is not whole afterwards (`apply.up` makes it so).

    NetchainError when the gateway cannot be closed or its routes cannot be put back.
    """
    opened = gateway(chain)
    meant = expected(chain, opened, shots)
    with _opened(chain, site, opened):
        found = sweep.run("control", chain, site.sensor, site.timeline, shots, markers)
    sweep.run("control", chain, site.sensor, site.timeline, (), markers)
    seen = {one.shot.probe for one in found.found if one.shot is not None}
    missing = tuple(f"{p.id} {p.name}" for p in meant if p not in seen)
    where = Link(opened.name, opened.netvm).name
    doubts = f"; {'; '.join(found.doubts)}" if found.doubts else ""
    return Control(len(seen), missing, f"{opened.name} opened, heard on {where}{doubts}")


def gateway(chain: Chain) -> Qube:
    """The one to open: the VPN qube, or the Tor gateway of a chain without one."""
    roles = (Role.VPN_PROXY, Role.TOR_GATEWAY)
    found = (chain.on_the_way(role) for role in roles)
    return next(qube for qube in found if qube is not None)


def expected(chain: Chain, opened: Qube, shots: Sequence[Shot]) -> tuple[Probe, ...]:
    """The probes that a router passes on, and of which a shot reaches the opened gateway."""
    reaching = {Link(client.name, opened.name).name for client in chain.clients(opened.name)}
    ends = {(name, Direction.UP) for name in reaching}
    ends.add((Link(opened.name, opened.netvm).name, Direction.DOWN))
    found = (
        shot.probe for shot in shots if (shot.place.link.name, shot.place.direction) in ends
    )  # fmt: skip
    return tuple(probe for probe in dict.fromkeys(found) if probe.leaves)


@contextmanager
def _opened(chain: Chain, site: Site, qube: Qube) -> Iterator[None]:
    """Its rules are a plain router's, and its default routes go past a tunnel."""
    done: list[list[str]] = []
    try:
        site.backend.load_rules(chain, qube.name, OPEN_RULES)
        for route in _routes(chain, site, qube):
            _ip(chain, site, qube, [*route[:1], "route", "replace", *route[1:]])
            done.append(route)
        yield
    finally:
        site.backend.block(chain, qube.name)
        for route in done:
            _ip(chain, site, qube, [*route[:1], "route", "del", *route[1:]])
        for family in ("-4", "-6"):  # else it goes on asking who has what it was to pass on
            _ip(chain, site, qube, [family, "neigh", "flush", "all"])


def _routes(chain: Chain, site: Site, qube: Qube) -> Iterator[list[str]]:
    dev = site.backend.uplink(chain, Link(qube.name, qube.netvm))
    for family, find in (("-4", address4), ("-6", address6)):
        via = str(find(chain, str(qube.netvm)))
        yield [family, "default", "via", via, "dev", dev, "onlink", "metric", "1"]


def _ip(chain: Chain, site: Site, qube: Qube, words: list[str]) -> None:
    done = site.backend.execute(chain, qube.name, ["ip", *words], timeout=10)
    if done.status:
        said = done.stderr.decode(errors="replace").strip()
        raise NetchainError(Problem("E072", f"ip {' '.join(words)}: {said}", str(qube.name)))

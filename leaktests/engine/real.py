"""What is different on a real chain, where a probe that leaks would tell on its user.

Probes go to documentation addresses only (RFC 5737, RFC 3849: nobody is there), up the chain, with
nothing in them but bytes that look random. Programs are ended, ports swept and hostile packets sent
down only where each is allowed. No rule is ever opened: the control is the chain's own traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from leaktests.engine.outcome import Control
from leaktests.engine.shot import Shot
from netchain.backends.base import User
from netchain.model.allowed import Direction, Link, links, tunnels
from netchain.model.chain import Chain, Role
from netchain.site import Site
from netchain.wire.capture import Captured, Mark
from netchain.wire.decode import decode

FAULTS, SWEEPS, HOSTILE = "faults", "sweeps", "hostile"
"""What has to be allowed on a real chain, each by its own word."""
_NOBODY = tuple(
    ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_FLOW_S = 10.0


def harmless(shots: Iterable[Shot], allowed: frozenset[str]) -> list[Shot]:
    """Those that may be sent on a real chain; hostile ones only when they are allowed."""
    return [shot for shot in shots if _goes_to_nobody(shot) or _is_hostile(shot, allowed)]


def _goes_to_nobody(shot: Shot) -> bool:
    destination = decode(shot.frame).destination
    if shot.place.direction is not Direction.UP or destination is None:
        return False
    return len(destination) in (4, 16) and any(
        ip_address(destination) in network for network in _NOBODY
    )


def _is_hostile(shot: Shot, allowed: frozenset[str]) -> bool:
    return shot.place.direction is Direction.DOWN and HOSTILE in allowed


def known_flow(chain: Chain, site: Site) -> Control:
    """A connection of the workstation's to a documentation address: every link and tunnel must
    carry something of the chain's own meanwhile, or its tap is not believed."""
    mark = site.sensor.tap.mark()
    workstation = chain.with_role(Role.WORKSTATION)[0].name
    argv = ["curl", "-s", "-m", "2", "http://192.0.2.1/"]
    site.backend.execute(chain, workstation, argv, timeout=10, user=User.PERSON)
    every = [link for link in (*links(chain), *tunnels(chain)) if site.sensor.hears(link)]
    silent = _silent(site, every, mark)
    missing = tuple(f"the chain's own traffic on {name}" for name in sorted(silent))
    return Control(len(every) - len(silent), missing, "the chain's own traffic; nothing was opened")


def _silent(site: Site, every: list[Link], mark: Mark) -> frozenset[str]:
    """Links that carried nothing up but what we sent, until a deadline."""
    raw = {link.name for link in every if link.tunnel}

    def is_their_own(captured: Captured) -> bool:
        if captured.outgoing is not (captured.link in raw):
            return False
        ours = site.sensor.injected[captured.link]
        return (
            captured.frame not in ours
            and decode(captured.frame, captured.link_type).dport is not None
        )

    return site.sensor.tap.wait_for(is_their_own, [link.name for link in every], _FLOW_S, mark)

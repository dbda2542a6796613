"""The states that a chain is swept in: how it gets there. `apply.up` brings it back.

Every state but "connected" is a change of the running chain: programs that end, or qubes that are
closed. None opens anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netchain import programs
from netchain.model.chain import Chain, QubeState, Role
from netchain.model.names import QubeName
from netchain.site import Site

Changed = Mapping[QubeName, QubeState]
CONNECTED = "connected"


@dataclass(frozen=True)
class State:
    """`enter` changes the chain and says which qubes are in which state then; `needs` is the role
    without which the state does not exist."""

    name: str
    enter: Callable[[Chain, Site], Changed]
    needs: Role | None = None

    def exists(self, chain: Chain) -> bool:
        return self.needs is None or bool(chain.with_role(self.needs))


def enter(state: State, chain: Chain, site: Site) -> None:
    """Bring the chain into the state, and note it on the timeline.

    NetchainError when the backend refuses; nothing is opened then either.
    """
    start = time.time_ns()
    changed = state.enter(chain, site)
    site.timeline.change(start, time.time_ns(), changed)


def _stopped(role: Role) -> Callable[[Chain, Site], Changed]:
    """The role's programs end (SIGTERM, then SIGKILL); a VPN's tunnel goes with its program."""

    def stop(chain: Chain, site: Site) -> Changed:
        found: dict[QubeName, QubeState] = {}
        for qube in chain.with_role(role):
            for service in programs.wanted(chain, site, qube):
                programs.stop(chain, site, qube, service)
            found[qube.name] = QubeState.DEGRADED
        return found

    return stop


def _blocked(chain: Chain, site: Site) -> Changed:
    for qube in reversed(chain.from_uplink()):
        site.backend.block(chain, qube.name)
    return {qube.name: QubeState.BLOCKED for qube in chain.qubes}


def _starting(chain: Chain, site: Site) -> Changed:
    """As `up` has it before its last step: every gateway open, no workstation."""
    _blocked(chain, site)
    gateways = [qube for qube in chain.from_uplink() if qube.role is not Role.WORKSTATION]
    for qube in gateways:
        site.backend.unblock(chain, qube.name)
    closed = {qube.name: QubeState.BLOCKED for qube in chain.qubes}
    return {**closed, **{qube.name: QubeState.STARTING for qube in gateways}}


STATES = (
    State(CONNECTED, lambda _chain, _site: {}),
    State("vpn-down", _stopped(Role.VPN_PROXY), Role.VPN_PROXY),
    State("tor-down", _stopped(Role.TOR_GATEWAY), Role.TOR_GATEWAY),
    State("blocked", _blocked),
    State("starting", _starting),
)
"""In the order in which they are tried."""

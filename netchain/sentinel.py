"""The sentinel: blocks a chain the moment something opens it, and says what is closed.

Whatever is otherwise than the profile says counts as opening, unless it can only close: a qube
that is blocked or gone, a program that does not run. When unsure, it is opening.
"""

from __future__ import annotations

from netchain import state
from netchain.backends.base import Backend
from netchain.errors import Exit, NetchainError
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.observed import Observed, ObservedQube
from netchain.model.plan import Desired, DesiredQube, peer
from netchain.site import Site
from netchain.undisturbed import undisturbed


def opened(chain: Chain, wanted: Desired, observed: Observed) -> list[QubeName]:
    """The living qubes that are open, and otherwise than they should be."""
    known = {qube.name for qube in chain.qubes}
    ours, _ = observed.apart(known)  # disposables are no drift, and nothing without their netvm
    return [
        name
        for name, have in ours.qubes.items()
        if not have.blocked and (name not in known or _is_open(chain, name, wanted[name], have))
    ]


def _is_open(chain: Chain, name: QubeName, want: DesiredQube, have: ObservedQube) -> bool:
    if not chain.is_connected(name):
        return True  # it reaches no uplink, and should be blocked
    qube = chain[name]
    running = {service: version for service, version in have.services.items() if version}
    return bool(
        have.differs
        or have.altered
        or (have.role, have.rules) != (qube.role, want.rules)
        or (have.link, have.wiring) != (peer(qube), want.wiring)
        or any(want.services.get(service) != version for service, version in running.items())
    )


def words(chain: Chain, site: Site, wanted: Desired, observed: Observed) -> list[str]:
    """What opened it, qube by qube; never fails: what cannot be read is said."""
    found = []
    for name in opened(chain, wanted, observed):
        try:
            qube = chain[name]
            each = state.differences(chain, site, qube, wanted[name], observed.qubes[name])
            found += [f"{name}: {difference}" for difference in each] or [f"{name}: changed"]
        except KeyError:
            found.append(f"{name}: a qube that the profile does not know")
        except NetchainError as error:
            found.append(f"{name}: changed, but cannot be read ({error})")
    return found


def close(chain: Chain, backend: Backend) -> str:
    """Block every qube, workstations first, past each failure; the state that leaves, in words."""
    with undisturbed():
        leaves_first = chain.from_uplink()[::-1]
        order = sorted(leaves_first, key=lambda qube: qube.role is not Role.WORKSTATION)
        failed = [qube.name for qube in order if not _blocks(chain, backend, qube.name)]
        try:
            there = backend.observe(chain).qubes
        except NetchainError as error:
            if error.exit_code is Exit.NOT_READY:
                return "The site is gone, and every qube with it: closed."
            return _not_closed(chain, failed or [qube.name for qube in order])
        left = [name for name, have in there.items() if not have.blocked]
        left = [name for name in left if not _blocks(chain, backend, name)]
        if left:
            return _not_closed(chain, left)
        closed = ", ".join(name for name in (q.name for q in order) if name in there)
        return (
            f"The chain is blocked: {closed or 'no qube is there'}. Mend: netchain up {chain.name}"
        )


def _not_closed(chain: Chain, names: list[QubeName]) -> str:
    return f"NOT CLOSED: {', '.join(names)}. Run: netchain down {chain.name}"


def _blocks(chain: Chain, backend: Backend, name: QubeName) -> bool:
    try:
        backend.block(chain, name)
    except NetchainError:
        return False
    return True

"""What every qube of a chain should have, as plans compare it with what is there."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from netchain import programs
from netchain.backends.base import Backend
from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain, Qube
from netchain.model.names import QubeName
from netchain.model.observed import Observed
from netchain.model.plan import Desired, DesiredQube, peer
from netchain.nft.fill import Facts, rules_for
from netchain.site import Site
from netchain.vpn.wireguard import FWMARK


def rule_texts(chain: Chain, backend: Backend) -> dict[QubeName, str]:
    """Each qube's role file, filled."""
    found = facts(backend)
    return {qube.name: rules_for(chain, qube, found) for qube in chain.qubes}


def facts(backend: Backend) -> Facts:
    """What rules need to know beside the chain."""
    return Facts(tor_uid=backend.uids().tor, vpn_mark=FWMARK)


def desired(chain: Chain, site: Site) -> Desired:
    """What every qube should have; every rule file is checked, all errors come at once."""
    backend, problems = site.backend, list[Problem]()
    texts = rule_texts(chain, backend)
    rest = {q.name: (_wiring(chain, backend, q), _services(chain, site, q)) for q in chain.qubes}
    found: dict[QubeName, DesiredQube] = {}
    for name, rules in zip(texts, backend.check_all([*texts.values()]), strict=True):
        if isinstance(rules, NetchainError):
            problems += [Problem("E070", str(p), f"rules of {name}") for p in rules.problems]
        else:
            found[name] = DesiredQube(rules, *rest[name])
    if problems:
        raise NetchainError(problems)
    return found


def _wiring(chain: Chain, backend: Backend, qube: Qube) -> str:
    return backend.wiring(chain, qube.name) if peer(qube) is not None else ""


def _services(chain: Chain, site: Site, qube: Qube) -> Mapping[str, str]:
    return programs.wanted(chain, site, qube) if chain.is_connected(qube.name) else {}


def compared(chain: Chain, site: Site) -> tuple[Desired, Observed]:
    """What every qube should have, reckoned while the backend reads what is there."""
    site.backend.uids()  # known from now on: the rules do not wait for the reading
    with ThreadPoolExecutor(1) as other:
        there = other.submit(site.backend.observe, chain)
        return desired(chain, site), there.result()

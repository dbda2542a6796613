"""Every VPN of a chain, looked up: settings for the chain, secrets for who starts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netchain.errors import Exit, NetchainError, Problem
from netchain.model import nested
from netchain.model.chain import Chain, Role, Wan
from netchain.model.names import QubeName
from netchain.vpn.wireguard import WireGuard


def resolve(
    chain: Chain, wan: Wan, load: Callable[[str], WireGuard]
) -> tuple[Chain, dict[QubeName, WireGuard]]:
    """The chain with its uplink and its VPNs, each with an MTU that fits where it goes through.

    `load` finds a configuration by its name in the profile. NetchainError (exit 2) with the
    problems of every configuration.
    """
    vpns: dict[QubeName, WireGuard] = {}
    problems: list[Problem] = []
    for qube in chain.with_role(Role.VPN_PROXY):
        assert qube.vpn is not None
        try:
            vpns[qube.name] = load(qube.vpn.config)
        except NetchainError as error:
            problems += error.problems
    if problems:
        raise NetchainError(problems, Exit.USAGE)
    settings = nested.fitted(chain, {name: vpn.settings for name, vpn in vpns.items()})
    vpns = {name: replace(vpn, settings=settings[name]) for name, vpn in vpns.items()}
    return chain.resolved(settings, wan), vpns

"""What must be true of a chain: everything that would break its promise, said at once (pure).

A `Chain` with problems is never planned or applied: `profile.parse` refuses it, and so does a
switch that would make one.
"""

from __future__ import annotations

from collections.abc import Mapping

from netchain.errors import Problem
from netchain.model.chain import Chain, Qube, Role

_NETVM_ROLES: Mapping[Role, tuple[Role, ...]] = {
    Role.NET: (),
    Role.FIREWALL: (Role.NET, Role.FIREWALL),
    Role.VPN_PROXY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY, Role.TOR_GATEWAY),
    Role.TOR_GATEWAY: (Role.NET, Role.FIREWALL, Role.VPN_PROXY),
    Role.WORKSTATION: (Role.VPN_PROXY, Role.TOR_GATEWAY),
}


def problems(chain: Chain) -> list[Problem]:
    """Everything that is wrong with the chain as a whole, each with its key path."""
    found = _duplicates(chain) + _uplinks(chain)
    for index, qube in enumerate(chain.qubes):
        found += _netvm_problems(chain, qube, f"qube[{index}].netvm")
        found += _vpn_problems(qube, f"qube[{index}].vpn")
    return found


def _duplicates(chain: Chain) -> list[Problem]:
    found = []
    for index, qube in enumerate(chain.qubes):
        first = chain.number(qube.name)
        if first != index:
            found.append(
                Problem(
                    "E013", f"this name is taken by qube[{first}]", f"qube[{index}].name",
                    repr(str(qube.name)), "a name that no other qube of the chain has",
                )
            )  # fmt: skip
    return found


def _uplinks(chain: Chain) -> list[Problem]:
    roots = [str(qube.name) for qube in chain.with_role(Role.NET)]
    if len(roots) == 1:
        return []
    title = "the chain has no uplink" if not roots else "the chain has more than one uplink"
    return [
        Problem("E014", title, "qube[].role", ", ".join(roots), 'exactly one qube of role "net"')
    ]


def _netvm_problems(chain: Chain, qube: Qube, where: str) -> list[Problem]:
    if qube.role is Role.NET:
        if qube.netvm is None:
            return []
        return [
            Problem(
                "E015", "a qube that holds the uplink has no netvm", where,
                repr(str(qube.netvm)), 'no netvm for role "net"',
            )
        ]  # fmt: skip
    value = repr(str(qube.netvm))
    if qube.netvm is None:  # it has no network (a profile must name one: profile.py)
        return []
    netvm = chain.get(qube.netvm)
    if netvm is None:
        accepted = accepted_netvms(chain, qube)
        return [Problem("E015", "no qube has this name", where, value, accepted)]
    if not netvm.provides_network:
        title = f"qube {netvm.name} does not provide network"
        return [Problem("E016", title, where, value, accepted_netvms(chain, qube))]
    if _in_loop(chain, qube):
        return [
            Problem(
                "E017", "loops in network are unsupported", where, value,
                "a netvm that does not reach the network through this qube",
            )
        ]  # fmt: skip
    return _order_problems(chain, qube, netvm, where)


def accepted_netvms(chain: Chain, qube: Qube) -> str:
    """The qubes that may be this one's netvm by their roles, as words."""
    names = [q.name for q in chain.qubes if q.role in _NETVM_ROLES[qube.role] and q != qube]
    return ", ".join(names) or f"a qube of role {' or '.join(_NETVM_ROLES[qube.role])}"


def _in_loop(chain: Chain, qube: Qube) -> bool:
    above = [qube, *chain.upstream(qube.name)]
    return any(q.netvm == qube.name for q in above)


def _order_problems(chain: Chain, qube: Qube, netvm: Qube, where: str) -> list[Problem]:
    value = repr(str(netvm.name))
    if netvm.role not in _NETVM_ROLES[qube.role]:
        title = f"a {qube.role} cannot have a {netvm.role} as its netvm"
        return [Problem("E018", title, where, value, accepted_netvms(chain, qube))]
    above = {q.role for q in chain.upstream(qube.name)}
    behind_tor = Role.TOR_GATEWAY in above
    if qube.role is Role.VPN_PROXY and behind_tor and not chain.allow_discouraged:
        return [
            Problem(
                "E019", "a VPN behind Tor is the discouraged order", where, value,
                "the VPN before Tor (the VPN qube between the uplink and the Tor gateway)",
                "Privacy Guides advises very strongly against You -> Tor -> VPN. If you know why "
                "you need it, say allow_discouraged = true at the top of the profile.",
            )
        ]  # fmt: skip
    in_tor_chain = bool(chain.with_role(Role.TOR_GATEWAY))
    reached = netvm.role is Role.TOR_GATEWAY or (chain.allow_discouraged and behind_tor)
    if qube.role is Role.WORKSTATION and in_tor_chain and not (reached or qube.clearnet):
        title = "in a chain with Tor a workstation is only ever below a Tor gateway"
        gateways = ", ".join(q.name for q in chain.with_role(Role.TOR_GATEWAY))
        return [Problem("E018", title, where, value, gateways)]
    return []


def _vpn_problems(qube: Qube, where: str) -> list[Problem]:
    if qube.role is Role.VPN_PROXY and qube.vpn is None:
        return [
            Problem(
                "E020", "a vpn-proxy needs a VPN configuration", where,
                accepted='{ config = "lab:provider-a" } or { config = "secrets/NAME.toml" }',
            )
        ]  # fmt: skip
    if qube.role is not Role.VPN_PROXY and qube.vpn is not None:
        title = f"a {qube.role} has no VPN"
        return [Problem("E020", title, where, qube.vpn.config, "vpn only for role vpn-proxy")]
    return []

"""docs/security.md, printed from `allowed()`: what may be on each wire, and when (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netchain.model.allowed import FlowPattern, Kind, Link, States, allowed, links
from netchain.model.chain import Chain, QubeState, Role
from netchain.model.names import QubeName

_HEAD = """# What may be on each wire

*No packet that the workstation or the gateways can send leaves any link of the chain except inside
the VPN, also while things start, stop, break or change.*

Not covered: the kernel and the hypervisor; timing and size of packets; the browser; what you
yourself log in to; and your provider, who sees the VPN (or, in a chain without one, Tor).

This page is printed from `netchain/model/allowed.py`, which also judges every captured frame; a
test keeps it true. Whatever is not listed is a leak, whoever sent it; so is whatever cannot be
parsed. Between the two ends of a link neighbour discovery (ARP, NDP, MLD) is always allowed; it is
left out below. Answers still come down to a qube that was closed, and end there. While a qube is
opened or closed, what its open state allows may pass; in any other change only what both states
allow.
"""
_NEIGHBOURS = frozenset({Kind.ARP, Kind.NDP, Kind.MLD})
_CLOSED = "blocked.nft drops whatever it sends, receives or forwards"
_BROKEN: Mapping[Role, tuple[str, str]] = {
    Role.VPN_PROXY: (
        "vpn-down",
        "its rules know no way but the tunnel: what comes to it ends there",
    ),
    Role.TOR_GATEWAY: ("tor-down", "it forwards nothing: what comes to it ends there"),
}


def render(chains: Iterable[Chain]) -> str:
    """The page in Markdown for these chains (resolved, so that endpoints are known)."""
    return _HEAD + "".join(_chain(chain) for chain in chains)


def _chain(chain: Chain) -> str:
    ready = dict.fromkeys((q.name for q in chain.qubes), QubeState.READY)
    parts = [f"\n## {chain.name}\n"]
    if not chain.with_role(Role.VPN_PROXY):
        parts.append("\nThere is no VPN in this chain: tor itself is what the provider sees.\n")
    for link in links(chain):
        rows = "".join(_row(pattern) for pattern in _flows(chain, link, ready))
        parts.append(
            f"\n### {link.name}\n\n"
            f"| direction | what | from | to | why |\n|---|---|---|---|---|\n{rows}"
        )
    return "".join((*parts, _states(chain, ready)))


def _states(chain: Chain, ready: States) -> str:
    """What is left of each link's flows in each state, and the reason."""
    wires = links(chain)
    head = f"| state | {' | '.join(link.name for link in wires)} | why |\n"
    rows = "".join(
        f"| {title} | {' | '.join(_left(chain, link, ready, states) for link in wires)} | {why} |\n"
        for title, states, why in _cases(chain, ready)
    )
    rule = "|---" * (len(wires) + 2)
    return (
        f"\n### What each state leaves of {chain.name}\n\n"
        "All qubes are ready but one. Where a wire keeps all, its client may still try: what it\n"
        f"sends ends at the qube that is closed or broken.\n\n{head}{rule}|\n{rows}"
    )


def _cases(chain: Chain, ready: States) -> Iterator[tuple[str, States, str]]:
    for qube in chain.qubes:
        yield f"{qube.name} blocked", _but(ready, qube.name, QubeState.BLOCKED), _CLOSED
    for qube in chain.qubes:
        if qube.role in _BROKEN:
            title, why = _BROKEN[qube.role]
            states = _but(ready, qube.name, QubeState.DEGRADED)
            yield f"{title} ({qube.name} degraded)", states, why


def _but(states: States, name: QubeName, state: QubeState) -> States:
    return {**states, name: state}


def _left(chain: Chain, link: Link, ready: States, states: States) -> str:
    flows = _flows(chain, link, states)
    if not flows:
        return "nothing"
    before = _flows(chain, link, ready)
    return "all" if flows == before else f"{len(flows)} of {len(before)} flows"


def _flows(chain: Chain, link: Link, states: States) -> tuple[FlowPattern, ...]:
    """Allowed flows but for the neighbours' own."""
    return tuple(p for p in allowed(chain, link, states) if p.kind not in _NEIGHBOURS)


def _row(p: FlowPattern) -> str:
    source, destination = _end(p.source, p.sport), _end(p.destination, p.dport)
    return f"| {p.direction} | {p.kind} | {source} | {destination} | {p.why} |\n"


def _end(network: object, port: int | None) -> str:
    text = str(network).removesuffix("/32").removesuffix("/128")
    text = "anywhere" if text in ("0.0.0.0/0", "::/0") else text
    return f"{text} port {port}" if port is not None else text

"""docs/security.md, printed from `allowed()`: what may be on each wire, and when (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netchain.model.allowed import FlowPattern, Link, States, allowed, links
from netchain.model.chain import Chain, QubeState

_HEAD = """# What may be on each wire

*No packet that the workstation or the gateways can send leaves any link of the chain except inside
the VPN, also while things start, stop, break or change.*

This page is printed from `netchain/model/allowed.py`, which also judges every captured frame; a
test keeps it true. Whatever is not listed is a leak, whoever sent it; so is whatever cannot be
parsed. Between the two ends of a link neighbour discovery (ARP, NDP, MLD) is always allowed; it is
left out below. During a change of state only what both states allow may pass.

Not covered: the kernel, the hypervisor, timing and size of packets, the browser, what you log in
to, and your provider.
"""


def render(chains: Iterable[Chain]) -> str:
    """The page in Markdown for these chains (resolved, so that endpoints are known)."""
    return _HEAD + "".join(_chain(chain) for chain in chains)


def _chain(chain: Chain) -> str:
    ready = dict.fromkeys((q.name for q in chain.qubes), QubeState.READY)
    parts = [f"\n## {chain.name}\n"]
    for link in links(chain):
        parts.append(
            f"\n### {link.name}\n\n| direction | what | from | to | why |\n|---|---|---|---|---|\n"
        )
        flows = _flows(chain, link, ready)
        parts += [_row(pattern) for pattern in flows]
        closing = [q.name for q in chain.qubes if not _flows_without(chain, link, ready, q.name)]
        partly = [
            q.name
            for q in chain.qubes
            if q.name not in closing and _flows_without(chain, link, ready, q.name) != flows
        ]
        parts.append(f"\nNothing is allowed while one of these is blocked: {_list(closing)}.")
        parts.append(
            f" Some of it is not while one of these is: {_list(partly)}.\n" if partly else "\n"
        )
    return "".join(parts)


def _flows(chain: Chain, link: Link, states: States) -> tuple[FlowPattern, ...]:
    """Allowed flows but for what is allowed when every qube is blocked."""
    always = set(allowed(chain, link, {}))
    return tuple(p for p in allowed(chain, link, states) if p not in always)


def _flows_without(chain: Chain, link: Link, states: States, name: str) -> tuple[FlowPattern, ...]:
    closed = {q: QubeState.BLOCKED if q == name else state for q, state in states.items()}
    return _flows(chain, link, closed)


def _row(p: FlowPattern) -> str:
    source, destination = _end(p.source, p.sport), _end(p.destination, p.dport)
    return f"| {p.direction} | {p.kind} | {source} | {destination} | {p.why} |\n"


def _end(network: object, port: int | None) -> str:
    text = str(network).removesuffix("/32").removesuffix("/128")
    text = "anywhere" if text in ("0.0.0.0/0", "::/0") else text
    return f"{text} port {port}" if port is not None else text


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"

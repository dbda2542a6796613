"""Which rule should have held a packet: a role's rule file, and the line of a chain's last drop."""

from __future__ import annotations

import re
from collections.abc import Mapping

from leaktests.report.facts import Cause
from netchain.model import addressing
from netchain.model.allowed import Direction
from netchain.model.chain import Chain, Qube, Role
from netchain.resources import data_dir
from netchain.wire.flow import Flow
from netchain.wire.judge import Leak

_FOLDER = "firewall_rules"
_COMMENT = re.compile(r'comment "([^"]*)"')
Rules = Mapping[Role, str]
"""The text of each role's rule file."""


def read() -> dict[Role, str]:
    """The shipped rule files. Raises OSError."""
    folder = data_dir() / _FOLDER
    return {role: (folder / f"{role}.nft").read_text(encoding="utf-8") for role in Role}


def cause(chain: Chain, leak: Leak, rules: Rules) -> Cause:
    """The last drop that the packet should have met in the qube that sent it on."""
    qube = _sender(chain, leak)
    name = "output" if _own(chain, qube, leak.flow) else "forward"
    line, why = last_drop(rules[qube.role], name)
    return Cause(str(qube.name), f"{_FOLDER}/{qube.role}.nft", line, name, why)


def _sender(chain: Chain, leak: Leak) -> Qube:
    """The qube at the link's end that the packet came from; of what the internet sent, sys-net."""
    client, _, netvm = leak.link.partition("--")
    if not netvm:
        return chain.with_role(Role.NET)[0]
    known = {qube.name for qube in chain.qubes}
    return chain[netvm] if leak.direction is Direction.DOWN and netvm in known else chain[client]


def _own(chain: Chain, qube: Qube, flow: Flow) -> bool:
    """Whether the qube sent it itself: it has its address, or has nobody behind it."""
    own = (addressing.address4(chain, qube.name), addressing.address6(chain, qube.name))
    return not qube.provides_network or flow.source in [address.packed for address in own]


def last_drop(text: str, name: str) -> tuple[int, str]:
    """Line and comment of the last drop of that chain; of a chain without one its first line.

    Raises ValueError when the file has no such chain.
    """
    lines = text.splitlines()
    start = end = lines.index(f"\tchain {name} {{")
    while end < len(lines) and lines[end] != "\t}":
        end += 1
    drops = [n for n in range(start, end) if lines[n].lstrip().startswith("counter drop")]
    found = drops[-1] if drops else start
    comment = _COMMENT.search(lines[found])
    return found + 1, comment[1] if comment else ""

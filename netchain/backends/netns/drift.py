"""What is otherwise in a qube's network than its chain says, qube by qube (pure).

A difference is told of the qube in whose namespace it is; which link must be made again for it is
for `compare.differs`. What no link takes along when it goes makes the qube `altered`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netchain.backends.base import Tunnel
from netchain.backends.netns import wiring
from netchain.backends.netns.compare import Fact, Network, compared
from netchain.backends.netns.wiring import Change
from netchain.model.addressing import TUNNEL, UPLINK
from netchain.model.chain import Chain, Qube
from netchain.model.drift import Difference, paired
from netchain.model.names import QubeName
from netchain.model.observed import Program
from netchain.model.plan import peer
from netchain.nft.fill import BLOCKED_TABLE, TABLE

Links = Mapping[QubeName, QubeName | None]
"""What each living qube is wired to, as its link says."""
_NAMES = {"addr": "address", "neigh": "neighbour"}


def find(
    chain: Chain, name: QubeName, links: Links, network: Network,
    strange: Iterable[Mapping[str, str]],
) -> tuple[tuple[Difference, ...], bool]:  # fmt: skip
    """All differences of a qube, and whether it is altered; none for one of no profile.

    `network` is what the qube has, `strange` what the keeper and `tables` find beside it.
    """
    qube = chain.get(name)
    if qube is None:
        return (), False
    others = [Difference(**words) for words in strange]
    missing, extra = _network(chain, qube, links, network)
    if links.get(name) is None:  # what a VPN's qube keeps without a link only closes
        extra = [fact for fact in extra if dict(fact).get("kind") != "unreachable"]
    lasting = [fact for fact in extra if not dict(fact).get("dev")]
    found = [*others, *paired([_told(f) for f in missing], [_told(f) for f in extra])]
    return tuple(found), bool(others or lasting)


def tables(found: str, *, blocked: bool) -> list[Mapping[str, str]]:
    """Those that netchain did not load (listings.Loaded); the table that blocks is ours only when
    it is blocked.nft's."""
    ours = {TABLE, *([BLOCKED_TABLE] if blocked else [])}
    return [{"what": "table", "have": table} for table in found.splitlines() if table not in ours]


def _network(
    chain: Chain, qube: Qube, links: Links, have: Network
) -> tuple[list[Fact], list[Fact]]:
    """What is missing and what is there too much, on the links that are there."""
    want: list[Change] = []
    devices = [""]
    if links.get(qube.name) is not None and links[qube.name] == peer(qube):
        want += wiring.wires(chain, qube).client_end
        devices.append(UPLINK)
    for client in chain.clients(qube.name):
        if links.get(client.name) == qube.name:
            wires = wiring.wires(chain, client)
            want += wires.netvm_end
            devices.append(wires.interface)
    if qube.vpn is not None and qube.vpn.settings is not None and TUNNEL in have:
        vpn = qube.vpn.settings
        want += wiring.tunnel(Tunnel(TUNNEL, vpn.addresses, vpn.mtu))
        devices.append(TUNNEL)
    return compared(want, have, *devices)


def _told(fact: Fact) -> tuple[str, str]:
    """The kind of a fact, and its words as ip(8) has them."""
    has: dict[str, Any] = dict(fact)
    kind = has.pop("do")
    first = " ".join(has.pop(key) for key in ("kind", "to", "address") if key in has)
    dev = [f"dev {has.pop('dev')}"] if "dev" in has else []
    rest = [f"{key} {has[key]}" for key in ("group", "via", "src", "mac", "metric", "table")
            if has.get(key)]  # fmt: skip
    return _NAMES.get(kind, kind), " ".join(filter(None, [first, *dev, *rest]))


def programs(services: Mapping[str, Mapping[str, Any]]) -> dict[str, Program]:
    """The lives of a node's supervised programs, as the keeper tells them."""
    return {n: Program(s["running"], s["pid"], s["starts"]) for n, s in services.items()}

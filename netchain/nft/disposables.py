"""What a disposable adds to the sets of its netvm, and takes away again (pure).

Only elements: the rules stay, and with them all that passes. Each element ties the disposable's
address to its own interface, so that one that was left would open nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

from netchain.model import addressing
from netchain.model.chain import Chain, Qube
from netchain.model.names import NUMBERS
from netchain.nft.fill import TABLE
from netchain.nft.sets import Facts, sets_for

_ELEMENTS = re.compile(r"\t(?:set|map) (\w+) \{\n[^}]*?(\t\telements = \{ ([^}]*) \}\n)")
_PAIR = re.compile(r'"vif([0-9]+)\.0" \. (\S+)')
_CLIENT = re.compile(r"(\S+) \. (tcp|udp|icmp|ipv6-icmp)")
_ASKS = re.compile(r"(\S+) : (\S+)")
_OF_NETVMS = ("tor_uid", "vpn_mark")
"""Sets that only the rules of a Tor gateway or of a VPN have."""


def admission(chain: Chain, disposable: Qube) -> list[str]:
    """The elements, each as the end of an nft command that adds or deletes it."""
    assert disposable.netvm is not None
    netvm, others = chain[disposable.netvm], tuple(q for q in chain.qubes if q != disposable)
    facts = Facts(tor_uid=0)
    before = sets_for(replace(chain, qubes=others), netvm, facts)
    after = sets_for(chain, netvm, facts)
    return [
        f"element {TABLE} {name} {{ {element} }}"
        for name, elements in after.items()
        for element in sorted(elements - before[name])
    ]


def comparable(listing: str) -> str:
    """The listing of a qube's rules without disposables' elements, and every set in one form: which
    of them live makes no difference. Only of roles below which workstations can be."""
    if not any(f"\tset {name} {{" in listing for name in _OF_NETVMS):
        return listing
    return _ELEMENTS.sub(_without, listing)


def _without(match: re.Match[str]) -> str:
    name, line, inner = match.groups()
    every = [element.strip() for element in inner.split(",")]
    kept = [element for element in every if not _is_disposables(name, element, every)]
    head = match[0].removesuffix(line)
    if not kept:
        return head
    return f"{head}\t\telements = {{ {', '.join(sorted(kept))} }}\n"


def _is_disposables(name: str, element: str, every: list[str]) -> bool:
    if name in ("allowed4", "allowed6", "neighbours6"):
        pair = _PAIR.fullmatch(element)
        return pair is not None and pair[2] in _addresses(int(pair[1]))
    if name in ("clients4", "clients6"):
        client = _CLIENT.fullmatch(element)
        return client is not None and _is_address(client[1])
    if name in ("dns4", "dns6"):
        asks = _ASKS.fullmatch(element)
        return asks is not None and _is_address(asks[1]) and asks[2] in _resolvers(every)
    return False


def _resolvers(every: list[str]) -> set[str]:
    """Whom the profile's own workstations ask: a disposable asks nobody else."""
    asked = (match for element in every if (match := _ASKS.fullmatch(element)))
    return {match[2] for match in asked if not _is_address(match[1])}


def _addresses(interface: int) -> tuple[str, ...]:
    """Of the disposable at that interface; none where there can be none."""
    if interface - addressing.FIRST_DISPOSABLE not in NUMBERS:
        return ()
    four = addressing.QUBES4.network_address + interface
    return str(four), str(addressing.QUBES6.network_address + int(four))


def _is_address(text: str) -> bool:
    """Whether some disposable has it."""
    try:
        interface = int(ip_address(text)) & 0xFFFF
    except ValueError:
        return False
    return text in _addresses(interface)

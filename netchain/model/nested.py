"""A VPN in a VPN: the inner tunnel's packets, with all that WireGuard puts around them, must fit
the outer tunnel.

Nothing else would make them fit: a VPN qube believes no "too big" about its own datagrams
(sysctls.py), and fragments are dropped. Of a tunnel of 1420 bytes an inner one has 1360 (1340 when
its endpoint has an IPv6 address).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Chain, VpnSettings
from netchain.model.names import QubeName

_AROUND = {4: 20 + 8 + 32, 6: 40 + 8 + 32}
"""Bytes around a packet: IP, UDP, and WireGuard's own header and tag (white paper, section 5.4.6).
It pads to 16 bytes, but never past the MTU."""
_LEAST = 1280
"""What IPv6 needs of every link (RFC 8200, section 5)."""


def fitted(chain: Chain, vpns: Mapping[QubeName, VpnSettings]) -> Mapping[QubeName, VpnSettings]:
    """The VPNs, each with an MTU that fits the tunnel that it goes through.

    NetchainError (exit 2) when too little is left for one.
    """
    found = dict(vpns)
    problems = []
    for qube in chain.from_uplink():
        outer = next((above for above in chain.upstream(qube.name) if above.name in vpns), None)
        if qube.name not in vpns or outer is None:
            continue
        own = vpns[qube.name]
        room = found[outer.name].mtu - _AROUND[own.endpoint.address.version]
        found[qube.name] = replace(own, mtu=min(own.mtu, room))
        if room < _LEAST:
            title = f"the tunnel of {outer.name} leaves {room} bytes for the one of {qube.name}"
            accepted = f"{_LEAST} bytes or more: fewer VPNs in each other, or a larger mtu"
            problems.append(Problem("E020", title, str(qube.name), accepted=accepted))
    if problems:
        raise NetchainError(problems, Exit.USAGE)
    return found

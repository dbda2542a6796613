"""What `up` needs beside the chain: a backend, who listens, the VPNs' secrets, Tor's own lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from netchain.backends.base import Backend
from netchain.model.names import QubeName
from netchain.prove import Sensor
from netchain.vpn.wireguard import WireGuard
from netchain.wire.timeline import Timeline

Say = Callable[[str], None]


@dataclass
class Site:
    """One chain's surroundings; `timeout` is how long a qube may take to become ready (seconds).

    `is_lab`: what leaves the chain ends on this computer, and may be anything. `trouble`: words
    about an uplink that is not open.
    """

    backend: Backend
    sensor: Sensor
    vpns: Mapping[QubeName, WireGuard] = field(default_factory=dict)
    tor_lines: tuple[str, ...] = ()
    is_lab: bool = False
    trouble: str = ""
    timeout: float = 120.0
    say: Say = lambda _: None
    timeline: Timeline = field(default_factory=Timeline)

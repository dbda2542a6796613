"""A claim about a qube, and what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from netchain.model.allowed import States
from netchain.model.chain import Chain, Qube
from netchain.verify.algebra import Bit
from netchain.verify.ways import Way


class Name(StrEnum):
    """The claims; docs/security.md says each in words."""

    NO_FORWARD = "NoForward"
    KILL_SWITCH = "KillSwitch"
    ENDPOINT_ONLY = "EndpointOnly"
    CLIENTS_ONLY = "ClientsOnly"
    TOR_ONLY = "TorOnly"
    VPN_ONLY = "VpnOnly"
    OWN_ONLY = "OwnOnly"
    NOTHING_OF_ITS_OWN = "NothingOfItsOwn"
    ANSWERS_ONLY = "AnswersOnly"
    NO_OTHER_WAY = "NoOtherWay"
    NO_INBOUND = "NoInbound"
    ANTI_SPOOF = "AntiSpoof"
    PORTS_ONLY = "PortsOnly"
    NO_REFLECTION = "NoReflection"
    EXPLICIT_DROP = "ExplicitDrop"
    SETTINGS = "Settings"
    ALIVE = "Alive"


@dataclass(frozen=True)
class Claim:
    """One claim about one family: it holds when no packet is `bad`; `link` is the wire that it is
    about ("" the qube as a whole)."""

    name: Name
    link: str
    way: Way
    bad: Bit


@dataclass(frozen=True)
class Facts:
    """What the qube's claims are about, beside its rules; `tor_uid` None: nobody can tell tor from
    another program (there is one uid for all). The ports are where tor listens, by protocol."""

    chain: Chain
    qube: Qube
    states: States
    tor_uid: int | None
    vpn_mark: int
    tor_ports: Mapping[int, frozenset[int]]

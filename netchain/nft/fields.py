"""Where nft's fields are in a packet, and of which type their values are (pure).

Offsets and lengths in bits from the start of their header, as nftables' src/proto.c has them (and
RFC 791, 8200, 9293, 768, 792, 4443). `th` is any transport header: its ports are where TCP's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Base(StrEnum):
    """The header that an offset counts from."""

    NETWORK = "nh"
    TRANSPORT = "th"


@dataclass(frozen=True)
class Field:
    """A piece of a header; `protocol` is the number that the transport header must be of (None:
    any), `family` the one that the network header must be of ("" either)."""

    base: Base
    offset: int
    bits: int
    type: str
    protocol: int | None = None
    family: str = ""


ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def _network(family: str, **fields: tuple[int, int, str]) -> dict[tuple[str, str], Field]:
    return {
        (family, name.replace("_", "-")): Field(Base.NETWORK, *where, family=family)
        for name, where in fields.items()
    }


def _transport(
    name: str, number: int | None, **fields: tuple[int, int, str]
) -> dict[tuple[str, str], Field]:
    return {
        (name, field.replace("_", "-")): Field(Base.TRANSPORT, *where, protocol=number)
        for field, where in fields.items()
    }


FIELDS: dict[tuple[str, str], Field] = {
    **_network(
        "ip",
        version=(0, 4, "integer"), hdrlength=(4, 4, "integer"), dscp=(8, 6, "dscp"),
        ecn=(14, 2, "ecn"), length=(16, 16, "integer"), id=(32, 16, "integer"),
        frag_off=(48, 16, "integer"), ttl=(64, 8, "integer"), protocol=(72, 8, "inet_proto"),
        checksum=(80, 16, "integer"), saddr=(96, 32, "ipv4_addr"), daddr=(128, 32, "ipv4_addr"),
    ),
    **_network(
        "ip6",
        version=(0, 4, "integer"), dscp=(4, 6, "dscp"), ecn=(10, 2, "ecn"),
        flowlabel=(12, 20, "integer"), length=(32, 16, "integer"), nexthdr=(48, 8, "inet_proto"),
        hoplimit=(56, 8, "integer"), saddr=(64, 128, "ipv6_addr"), daddr=(192, 128, "ipv6_addr"),
    ),
    **_transport("th", None, sport=(0, 16, "inet_service"), dport=(16, 16, "inet_service")),
    **_transport(
        "tcp", TCP,
        sport=(0, 16, "inet_service"), dport=(16, 16, "inet_service"),
        sequence=(32, 32, "integer"), ackseq=(64, 32, "integer"), doff=(96, 4, "integer"),
        reserved=(100, 4, "integer"), flags=(104, 8, "tcp_flag"), window=(112, 16, "integer"),
        checksum=(128, 16, "integer"), urgptr=(144, 16, "integer"),
    ),
    **_transport(
        "udp", UDP,
        sport=(0, 16, "inet_service"), dport=(16, 16, "inet_service"),
        length=(32, 16, "integer"), checksum=(48, 16, "integer"),
    ),
    **_transport(
        "icmp", ICMP,
        type=(0, 8, "icmp_type"), code=(8, 8, "icmp_code"), checksum=(16, 16, "integer"),
        id=(32, 16, "integer"), sequence=(48, 16, "integer"), mtu=(48, 16, "integer"),
        gateway=(32, 32, "integer"),
    ),
    **_transport(
        "icmpv6", ICMPV6,
        type=(0, 8, "icmpv6_type"), code=(8, 8, "icmpv6_code"), checksum=(16, 16, "integer"),
        id=(32, 16, "integer"), sequence=(48, 16, "integer"), mtu=(32, 32, "integer"),
    ),
}  # fmt: skip
"""By protocol and field, as nft's JSON names them (libnftables-json(5))."""

META: dict[str, tuple[int, str]] = {
    "mark": (32, "mark"), "skuid": (32, "uid"), "skgid": (32, "gid"),
    "l4proto": (8, "inet_proto"), "nfproto": (8, "nf_proto"), "protocol": (16, "ether_type"),
    "iifgroup": (32, "devgroup"), "oifgroup": (32, "devgroup"),
    "iifname": (0, "ifname"), "oifname": (0, "ifname"), "iif": (0, "ifname"), "oif": (0, "ifname"),
}  # fmt: skip
"""Bits and type of the meta keys that are modelled; an interface is no word of bits (0)."""

CT: dict[str, tuple[int, str]] = {
    "state": (32, "ct_state"), "direction": (8, "ct_dir"), "status": (32, "ct_status"),
    "mark": (32, "mark"),
}  # fmt: skip

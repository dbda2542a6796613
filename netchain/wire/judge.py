"""Judges captured frames by `allowed()`: what is not allowed on a link is a leak.

Theory of operation: a timeline says in which state each qube was at each moment, and which chain
it was. A frame is decoded, and must match a pattern of its link and direction in the states of its
moment. What cannot be parsed, is tagged, fragmented behind its ports or source-routed never
matches. An ICMP error matches only when the packet that it quotes does, in the other direction.

Frames that we injected ourselves are named by their exact bytes and link, and only there excused.
Limits: the judge sees headers, sizes and WireGuard's message types; it cannot tell a forged flow
inside an allowed pattern from a real one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from netchain.model.allowed import (
    Direction,
    FlowPattern,
    Kind,
    Link,
    Prefix,
    States,
    allowed,
    links,
    tunnels,
)
from netchain.model.chain import Chain
from netchain.wire.capture import Captured
from netchain.wire.decode import decode
from netchain.wire.flow import Flow
from netchain.wire.timeline import Timeline

_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_ROUTER_ALERT = {(5,), (148,)}
_ERRORS4, _ERRORS6 = frozenset({3, 11, 12}), frozenset({1, 2, 3, 4})
_ECHO = {_IPV4: frozenset({0, 8}), _IPV6: frozenset({128, 129})}
_NDP = frozenset({135, 136})
_MLD = frozenset({131, 132, 143})
_WIREGUARD_TYPES = frozenset({1, 2, 3, 4})
_SOLICITED_NODE = b"\xff\x02" + bytes(9) + b"\x01\xff"


@dataclass(frozen=True)
class Leak:
    """A frame that was not allowed, and what was made of it."""

    link: str
    time_ns: int
    direction: Direction
    flow: Flow
    frame: bytes

    def __str__(self) -> str:
        return f"{self.link} {self.direction}: {describe(self.flow)}"


@dataclass(frozen=True)
class LinkVerdict:
    """What one link carried: all frames, and those that were not allowed."""

    link: str
    frames: int
    leaks: tuple[Leak, ...]

    def behind(self, earlier: LinkVerdict | None) -> LinkVerdict:
        """Both as one."""
        if earlier is None:
            return self
        return LinkVerdict(self.link, earlier.frames + self.frames, (*earlier.leaks, *self.leaks))


def judge(
    chain: Chain,
    timeline: Timeline,
    captured: Mapping[str, Iterable[Captured]],
    injected: Mapping[str, Collection[bytes]] | None = None,
) -> list[LinkVerdict]:
    """One verdict a link; taps are at the netvm's end, so what arrives there goes up. (In a tunnel
    the tap is at its client's end: what leaves there goes up.) `chain` is the one that it is now.
    """
    known = (*timeline.earlier, chain)
    by_name = {link.name: link for one in known for link in (*links(one), *tunnels(one))}
    return [
        _judge_link(chain, by_name[name], timeline, frames, (injected or {}).get(name, ()))
        for name, frames in captured.items()
    ]


def _judge_link(
    chain: Chain, link: Link, timeline: Timeline, frames: Iterable[Captured],
    injected: Collection[bytes],
) -> LinkVerdict:  # fmt: skip
    ours = set(injected)
    patterns = _Patterns(link)
    leaks: list[Leak] = []
    count = 0
    for item in frames:
        count += 1
        if item.frame in ours:
            continue
        flow = decode(item.frame, item.link_type)
        direction = Direction.DOWN if item.outgoing is not link.tunnel else Direction.UP
        permitted = not item.truncated and any(
            all(
                permits(patterns.of(one, states, direction), flow, direction)
                for states in timeline.at(item.time_ns)
            )
            for one in timeline.chains(item.time_ns, direction, chain)
        )
        if not permitted:
            leaks.append(Leak(link.name, item.time_ns, direction, flow, item.frame))
    return LinkVerdict(link.name, count, tuple(leaks))


class _Patterns:
    """What may be on one link in one direction, of each chain and states asked once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[tuple[int, int, Direction], tuple[FlowPattern, ...]] = {}

    def of(self, chain: Chain, states: States, direction: Direction) -> tuple[FlowPattern, ...]:
        """On a link that the chain does not have: no more than on a closed one. `states` are the
        timeline's own, which outlive this."""
        key = id(chain), id(states), direction
        if key not in self._known:
            has = self._link in (*links(chain), *tunnels(chain))
            every = allowed(chain, self._link, states if has else {})
            self._known[key] = tuple(p for p in every if p.direction is direction)
        return self._known[key]


def permits(patterns: Iterable[FlowPattern], flow: Flow, direction: Direction) -> bool:
    """Whether some pattern allows the flow in that direction."""
    if flow.problem is not None or flow.vlan or flow.fragment or flow.more_fragments:
        return False
    kind = kind_of(flow)
    if kind is None or not _plain(flow, kind):
        return False
    patterns = tuple(patterns)
    if kind is Kind.ICMP_ERROR:
        quoted = flow.inner
        return (
            quoted is not None
            and any(_matches(p, flow, kind) for p in patterns if p.direction is direction)
            and _permits_quoted(patterns, quoted, direction)
        )
    return any(_matches(p, flow, kind) for p in patterns if p.direction is direction)


def _permits_quoted(patterns: tuple[FlowPattern, ...], quoted: Flow, direction: Direction) -> bool:
    """The packet that an error quotes, which goes in this direction: its answer may be there, too.
    (Whether the packet itself may does not count: who sent it may be closed by now.) Of its content
    there is too little to look at."""
    kind = kind_of(quoted)
    if kind is None or kind is Kind.ICMP_ERROR or quoted.fragment or quoted.more_fragments:
        return False
    if not _plain(quoted, kind):
        return False
    answers = (p.reply() for p in patterns if p.direction is direction)
    return any(_matches(answered, quoted, kind, quoted=True) for answered in answers)


def kind_of(flow: Flow) -> Kind | None:
    """What the flow is; None for everything that no pattern knows."""
    if flow.ethertype == _ARP:
        return Kind.ARP
    if flow.ethertype not in (_IPV4, _IPV6):
        return None
    if flow.protocol == _TCP:
        return Kind.TCP
    if flow.protocol == _UDP:
        return Kind.UDP
    if flow.protocol == (_ICMP if flow.ethertype == _IPV4 else _ICMP6):
        return _icmp_kind(flow)
    return None


def _icmp_kind(flow: Flow) -> Kind | None:
    if flow.icmp_type in _ECHO[flow.ethertype]:
        return Kind.PING
    if flow.icmp_type in (_ERRORS4 if flow.ethertype == _IPV4 else _ERRORS6):
        return Kind.ICMP_ERROR
    if flow.ethertype == _IPV6 and flow.icmp_type in _NDP:
        return Kind.NDP
    if flow.ethertype == _IPV6 and flow.icmp_type in _MLD:
        return Kind.MLD
    return None


def _plain(flow: Flow, kind: Kind) -> bool:
    """No options and extension headers, but for MLD's router alert (RFC 3810, section 5)."""
    if kind is Kind.MLD:
        return flow.options in ((), *_ROUTER_ALERT) and flow.extensions in ((), (0,))
    return not flow.options and not flow.extensions


def _matches(pattern: FlowPattern, flow: Flow, kind: Kind, *, quoted: bool = False) -> bool:
    if kind is Kind.UDP and pattern.kind is Kind.WIREGUARD:
        if not quoted and not _is_wireguard(flow.payload):
            return False
    elif kind is not pattern.kind:
        return False
    if flow.source is None or flow.destination is None:
        return False
    if not _within(flow.source, pattern.ends[0]):
        return False
    if kind in (Kind.ARP, Kind.NDP):
        return _neighbour(pattern, flow, kind)
    return (
        _within(flow.destination, pattern.ends[1])
        and pattern.sport in (None, flow.sport)
        and pattern.dport in (None, flow.dport)
    )


def _neighbour(pattern: FlowPattern, flow: Flow, kind: Kind) -> bool:
    """About the two ends only: it asks for the other end or tells of its own address."""
    if kind is Kind.ARP:
        assert flow.destination is not None
        return _within(flow.destination, pattern.ends[1])
    target, destination = flow.ndp_target, flow.destination
    if target is None or destination is None:
        return False
    solicited = destination == _SOLICITED_NODE + target[-3:]
    return (solicited or _within(destination, pattern.ends[1])) and any(
        _within(target, end) for end in pattern.ends
    )


def _is_wireguard(payload: bytes) -> bool:
    """Message types 1 to 4 with three zero bytes (WireGuard white paper, section 5.4)."""
    return len(payload) >= 32 and payload[0] in _WIREGUARD_TYPES and payload[1:4] == bytes(3)


def _within(address: bytes, prefix: Prefix) -> bool:
    length, network, shift = prefix
    return len(address) == length and int.from_bytes(address) >> shift == network


def describe(flow: Flow) -> str:
    """The flow as words: `TCP 10.137.0.13:443 → 198.18.7.1:9001`."""
    if flow.problem is not None:
        return f"cannot be parsed: {flow.problem}"
    kind = kind_of(flow)
    protocol = kind.value if kind else f"ethertype {flow.ethertype:#06x} protocol {flow.protocol}"
    source, destination = _shown(flow.source, flow.sport), _shown(flow.destination, flow.dport)
    quoted = f" quoting ({describe(flow.inner)})" if flow.inner else ""
    return f"{protocol} {source} → {destination}{quoted}"


def _shown(address: bytes | None, port: int | None) -> str:
    if address is None or len(address) not in (4, 16):
        return "?"
    text = str(ip_address(address))
    if port is None:
        return text
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"

"""Every port and every protocol: 131,328 shots from one place to one address (pure).

Building each packet anew would take longer than sending it: one is built, and for each port its
two bytes and its checksum are changed (RFC 1624).

Where any port is allowed (tor's own TCP), all of them go to one address only: each would be a flow
that every gateway remembers for two minutes, and their tables hold 262,144.
"""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.engine.place import Place, places
from leaktests.engine.probe import EVERYWHERE, Aim, Probe, restricted
from leaktests.engine.shot import Markers, Shot
from leaktests.engine.target import DEFAULT, Target, targets
from netchain.model.allowed import Direction, allowed
from netchain.model.chain import Chain, QubeState
from netchain.wire import build
from netchain.wire.decode import decode
from netchain.wire.judge import permits

_ETHERNET, _PORTS = 14, 1 << 16
_SUM_AT = {build.UDP: 6, build.TCP: 16}
_LIKE_WIREGUARD = b"\4\0\0\0"
"""The endpoint's own port is among them: there a datagram may pass that looks like WireGuard's."""
_UDP = Probe(
    "P28", "every UDP port",
    lambda aim: aim.datagram(0, _LIKE_WIREGUARD + aim.marker + bytes(20)), EVERYWHERE,
)  # fmt: skip
_TCP = Probe("P29", "every TCP port", lambda aim: aim.segment(0), EVERYWHERE)


def _numbers(aim: Aim) -> Iterator[bytes]:
    return (build.ip(aim.own, aim.to, n, aim.marker + bytes(16)) for n in range(256))


_PROTOCOLS = {
    4: Probe("P27", "every IP protocol", _numbers, EVERYWHERE),
    6: Probe("P31", "every IPv6 next header", _numbers, EVERYWHERE),
}


def sweeps(chain: Chain, markers: Markers) -> Iterator[tuple[str, Iterator[Shot]]]:
    """One for each place that sends up, class of destinations and family: what it is, and its
    shots, built when they are asked for."""
    every = targets(chain)
    for place in places(chain):
        if place.direction is not Direction.UP:
            continue
        for name in restricted(_UDP, every).classes:
            for target in every[name]:
                yield (
                    f"{place.link.client} to {target.address}",
                    _shots(place, target, markers),
                )


def _shots(place: Place, target: Target, markers: Markers) -> Iterator[Shot]:
    """All of the target's family: 256 protocols, 65,536 UDP ports, 65,536 TCP ports."""

    def aim() -> Aim:
        number, marker = markers.next()
        return Aim(place, target, marker, number)

    numbers, at = _PROTOCOLS[target.version], aim()
    yield from (_shot(at, numbers, frame) for frame in numbers.packets(at))
    for probe, protocol in ((_UDP, build.UDP), (_TCP, build.TCP)):
        at = aim()
        (frame,) = probe.packets(at)
        if target.name == DEFAULT or not _is_allowed(at, frame):
            yield from _ports(at, probe, frame, protocol)


def _is_allowed(aim: Aim, frame: bytes) -> bool:
    """Whether it may be on the link that it is sent on."""
    place = aim.place
    ready = {qube.name: QubeState.READY for qube in place.chain.qubes}
    return permits(allowed(place.chain, place.link, ready), decode(frame), place.direction)


def _ports(aim: Aim, probe: Probe, frame: bytes, protocol: int) -> Iterator[Shot]:
    """The frame, which is to port 0, to each port."""
    start = _ETHERNET + (20 if aim.version == 4 else 40)
    port_at, sum_at = start + 2, start + _SUM_AT[protocol]
    head, middle, tail = frame[:port_at], frame[port_at + 2 : sum_at], frame[sum_at + 2 :]
    without = ~int.from_bytes(frame[sum_at : sum_at + 2]) & 0xFFFF
    for port in range(_PORTS):
        total = without + port
        checksum = (~(total + (total >> 16)) & 0xFFFF) or 0xFFFF
        yield _shot(aim, probe, head + port.to_bytes(2) + middle + checksum.to_bytes(2) + tail)


def _shot(aim: Aim, probe: Probe, frame: bytes) -> Shot:
    return Shot(probe, aim.place, aim.target, aim.marker, frame)

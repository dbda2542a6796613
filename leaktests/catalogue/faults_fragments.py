"""F06. More first fragments than any qube could keep while it waits for the rest of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from leaktests.engine.fault import Bench, Faults
from leaktests.engine.place import Place, places
from netchain.model.chain import Role
from netchain.wire import build

topic = Faults()
_COUNT, _SIZE, _BURST = 3200, 1400, 200
"""From each place and of each family: more than ipfrag_high_thresh and ip6frag_high_thresh keep
(4 MiB: net/ipv4/ip_fragment.c, net/ipv6/reassembly.c)."""
_MORE4, _MORE6, _FRAGMENT = 0x2000, 1, 44
_KEPT = "grep -h FRAG /proc/net/sockstat /proc/net/sockstat6"


@topic.fault("F06", "a flood of fragments whose rest never comes")
def fragments(bench: Bench) -> Iterator[None]:
    """No qube may keep a single one (they are dropped before they are put together), and none is
    passed on, then or later."""
    tap, sensor = bench.site.sensor.tap, bench.site.sensor
    for place in _ends(bench):
        mark, link = tap.mark(), place.link.name
        frames = [_first(place, n, v) for n in range(_COUNT) for v in (4, 6)]
        for start in range(0, len(frames), _BURST):
            for frame in frames[start : start + _BURST]:
                sensor.inject(link, frame, place.direction)
            bench.require(not sensor.settle(), "a tap is deaf")
        heard = {seen.frame for seen in tap.frames(link, mark)}
        missing = sum(frame not in heard for frame in frames)
        bench.require(not missing, f"{missing} fragments were not heard on {link}")
    yield
    for qube in bench.chain.qubes:
        kept = bench.run(qube, "sh", "-c", _KEPT)
        waits = any(int(number) for number in kept.split() if number.isdigit())
        bench.require(not waits, f"{qube.name} keeps fragments: {kept}")


def _ends(bench: Bench) -> list[Place]:
    """Where a hostile workstation sends from, and a hostile uplink."""
    wanted = (Role.WORKSTATION, None)
    return [place for place in places(bench.chain) if place.role in wanted]


def _first(place: Place, number: int, version: int) -> bytes:
    """A first fragment of a datagram of its own."""
    own, peer = place.own(version), place.peer(version)
    packet = build.udp(own, peer, 20000, 4444, number.to_bytes(4) * (_SIZE // 4))
    if version == 4:
        head = packet[:4] + struct.pack("!HH", number, _MORE4) + packet[8:10] + bytes(2)
        head += packet[12:20]
        packet = head[:10] + struct.pack("!H", build.checksum(head)) + packet[10 + 2 :]
    else:
        part = struct.pack("!BBHI", build.UDP, 0, _MORE6, number)
        packet = build.ip(own, peer, _FRAGMENT, part + packet[40:])
    return build.ethernet(place.mac, place.peer_mac, build.ethertype_of(packet), packet)

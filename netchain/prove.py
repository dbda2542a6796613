"""Proves that links are closed: a canary sweep, judged by `allowed()`.

Theory of operation: taps at the netvm's end of every link, armed while the chain is still closed.
From the client's end of each link, past the client's own rules, packets are sent that must
never pass its netvm: to documentation addresses, every basic protocol, IPv4 and IPv6, true and
forged sources. Then a canary goes over every link. Clean needs: each probe was heard on its own
link, each canary was heard, no tap failed, died, went down or dropped a frame, and nothing that
any link carried is outside `allowed()`. Everything else is a leak or a doubt, never clean.

What it does not cover: packets other than these (that is `leaktest`'s work), and the uplink's far
side. The uplink itself gets a canary only: behind sys-net there is no rule of ours.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

from netchain.backends.base import Backend
from netchain.model import addressing
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC
from netchain.model.allowed import Direction, Link, allowed, links
from netchain.model.chain import Address, Chain, QubeState
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.decode import decode
from netchain.wire.hearing import Hearing
from netchain.wire.judge import Leak, LinkVerdict, judge, permits
from netchain.wire.tap import Tap
from netchain.wire.timeline import Timeline

_CANARY_S = 5.0
_CLOCK_STEP_NS, _CLOCK_SLEW = 1_000_000, 0.001  # slewing adds at most 500 ppm (adjtime(3))
_TARGET4, _TARGET6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8:dead::1")
_FORGED4, _FORGED6 = IPv4Address("203.0.113.77"), IPv6Address("2001:db8:beef::77")
_PORTS = (53, 80, 443, 9001, 51820)


@dataclass(frozen=True)
class Verdict:
    """What was heard: per link, and what keeps it from being a proof."""

    links: tuple[LinkVerdict, ...]
    doubts: tuple[str, ...]

    @property
    def leaks(self) -> tuple[Leak, ...]:
        return tuple(leak for verdict in self.links for leak in verdict.leaks)


@dataclass
class Sensor:
    """The taps of one chain, and the frames that we sent ourselves, by link."""

    backend: Backend
    tap: Hearing[Any] = field(default_factory=lambda: Tap({}))
    """Of the kind that the backend gives ends of links for."""
    injected: dict[str, set[bytes]] = field(default_factory=dict)
    _silent: frozenset[str] = frozenset()
    _tunnels: set[str] = field(default_factory=set)
    _outages: dict[str, int] = field(default_factory=dict)
    _expected: dict[str, int] = field(default_factory=dict)
    _lost: list[str] = field(default_factory=list)
    _since: tuple[int, int] = field(default_factory=lambda: _clocks())
    _judged: dict[str, LinkVerdict] = field(default_factory=dict)
    """Of what was heard since the last `take`: each frame is judged once."""
    _taken: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tap.close()

    def arm(self, chain: Chain, link: Link) -> None:
        """Hear the link from now on; nothing to do when it is heard already."""
        if self.hears(link):
            return
        self.injected.setdefault(link.name, set())
        if link.tunnel:
            self._tunnels.add(link.name)
        taps = self.backend.taps(chain, [link])
        up = self.backend.injector(chain, link, Direction.UP)
        self.tap.add(link.name, taps[link.name], up)
        self._outages[link.name] = self.tap.outages[link.name]

    def arm_again(self, chain: Chain, link: Link) -> None:
        """Hear a link again that was heard before it was taken away; nothing to do otherwise."""
        if link.name in self.injected:
            self.arm(chain, link)

    def hears(self, link: Link) -> bool:
        """Whether the link is heard now (its tap may be deaf: `doubts`)."""
        return link.name in self._outages

    def disarm(self, link: Link) -> None:
        """Stop hearing a link that is going to be taken away; what it brought is judged still."""
        if link.name in self.injected and link.name in self._outages:
            self._note_outages(link.name)
            self.tap.remove(link.name)
            self.tap.injectors.remove(_down(link.name))
            del self._outages[link.name]

    def expect_outage(self, link: Link) -> None:
        """The link is going to go down once, on purpose: no doubt until `outage_over`."""
        self._note_outages(link.name)
        self._expected[link.name] = 0

    def outage_over(self, link: Link) -> list[str]:
        """From here on an outage is a doubt again; a doubt, too, when it was not the one that was
        expected: none, or another one after it."""
        self._note_outages(link.name)
        count = self._expected.pop(link.name)
        return [] if count == 1 else [f"{link.name} went down {count} times, not once"]

    def _note_outages(self, name: str) -> None:
        """Put new outages of a link that is heard to those that are expected, or doubted."""
        if name not in self._outages:
            return
        new = self.tap.outages[name] - self._outages[name]
        self._outages[name] += new
        if name in self._expected:
            self._expected[name] += new
        elif new:
            self._lost.append(name)

    def arm_down(self, chain: Chain, link: Link) -> None:
        """Be able to send down the link, too, as its netvm would; nothing to do when that is so."""
        if _down(link.name) in self.tap.injectors:
            return
        self.tap.injectors.add(_down(link.name), self.backend.injector(chain, link, Direction.DOWN))

    def inject(self, link: str, frame: bytes, direction: Direction = Direction.UP) -> None:
        """Send a frame as the qube at the link's one end (its client, or with DOWN its netvm)
        would, past its rules; the judge knows it as ours."""
        self.injected[link].add(frame)
        self.tap.inject(link if direction is Direction.UP else _down(link), frame)

    def inject_all(self, link: str, frames: Sequence[bytes], direction: Direction) -> int:
        """Send the first of the frames, as many as one call takes; how many. OSError if the first
        one cannot be sent."""
        self.injected[link].update(frames)
        return self.tap.injectors.send_all(
            link if direction is Direction.UP else _down(link), frames
        )

    def settle(self) -> list[str]:
        """A canary over every link: afterwards all that was sent before has been heard, or a doubt
        says where not."""
        return [f"the tap on {link} did not hear its canary" for link in self.deaf()]

    def deaf(self) -> list[str]:
        """The links whose tap did not hear a canary, sent over every link just now."""
        mark, token = self.tap.mark(), secrets.token_bytes(16)
        for link in self._outages:
            with suppress(OSError):  # its interface is down or gone: it will not be heard
                self.inject(link, self._canary(link, token))
        self._silent = self.tap.wait_for(token, self._outages, _CANARY_S, mark)
        return sorted(self._silent)

    def take(self) -> tuple[Mapping[str, list[Captured]], Mapping[str, set[bytes]]]:
        """All that was heard so far, and what we sent, by link, to be judged; both are forgotten
        here, but for what we sent over a link that was deaf when a canary last went over all: it
        may be heard yet."""
        injected = self.injected
        taken = self.tap.take()
        self._judged = {}
        self._taken.update({link: len(frames) for link, frames in taken.items()})
        self.injected = {
            link: sent if link in self._silent else set() for link, sent in injected.items()
        }
        return taken, injected

    def _canary(self, link: str, token: bytes) -> bytes:
        if link in self._tunnels:
            return build.tunnel_canary(token)
        return build.canary(CLIENT_MAC, NETVM_MAC, token)

    def doubts(self) -> list[str]:
        """What keeps silence from being a proof."""
        for link in list(self._outages):
            self._note_outages(link)
        dead = self.tap.dead.items()
        found = [f"the tap on {n} is deaf: {why}" for n, why in dead if n not in self._expected]
        found += [f"{link} went down while it was heard" for link in dict.fromkeys(self._lost)]
        found += [f"{n} frames of {link} were lost" for link, n in self.tap.drops().items() if n]
        if failed := self.tap.failed:  # asked last: it may have failed just now
            found.append(f"the tap failed: {failed}")
        if self.clock_was_set():
            found.append("the clock was set meanwhile: frames cannot be told apart by time")
        return found

    def clock_was_set(self) -> bool:
        """Whether the wall clock, by which frames are stamped, went another way than the steady
        one since this sensor was made."""
        steady, wall = (now - then for now, then in zip(_clocks(), self._since, strict=True))
        return abs(wall - steady) > _CLOCK_STEP_NS + _CLOCK_SLEW * steady

    def verdict(self, chain: Chain, timeline: Timeline) -> Verdict:
        """All that was heard so far, judged."""
        before = self._taken + Counter({n: v.frames for n, v in self._judged.items()})
        frames = {link: self.tap.frames(link, before) for link in self.injected}
        for new in judge(chain, timeline, frames, self.injected):
            self._judged[new.link] = new.behind(self._judged.get(new.link))
        verdicts = self._judged.values()
        deaf = [link.name for link in links(chain) if link.name not in self._outages]
        doubts = [f"nobody listens on {name}" for name in deaf] + self.doubts()
        return Verdict(tuple(verdicts), tuple(doubts))


def _down(link: str) -> str:
    return f"{link} down"


def _clocks() -> tuple[int, int]:
    """The steady clock and the wall clock, in ns."""
    return time.monotonic_ns(), time.time_ns()


def prove(chain: Chain, sensor: Sensor, timeline: Timeline) -> Verdict:
    """Sweep every link but the uplink; judge everything that every link carried.

    All of them: a probe on a link meets its netvm's rules, so that a change of one qube shows on
    the links of its clients.
    """
    every = links(chain)
    for link in every:
        sensor.arm(chain, link)
    swept = [link for link in every if link.netvm is not None]
    for link in swept:
        for frame in sweep_frames(chain, link):
            with suppress(OSError):  # then it is not heard, and that is a doubt
                sensor.inject(link.name, frame)
    # Twice: what a probe caused on another link may still wait on another processor.
    doubts = sensor.settle() + sensor.settle() + _unheard(sensor, [link.name for link in swept])
    verdict = sensor.verdict(chain, timeline)
    return Verdict(verdict.links, (*doubts, *verdict.doubts))


def _unheard(sensor: Sensor, names: list[str]) -> list[str]:
    """Links on which a probe of ours was never heard: a probe that was not sent proves nothing."""
    found = []
    for name in names:
        heard = {captured.frame for captured in sensor.tap.frames(name)}
        lost = len(sensor.injected[name] - heard)
        if lost:
            found.append(f"{lost} probes were not heard on {name}")
    return found


def sweep_frames(chain: Chain, link: Link) -> Iterator[bytes]:
    """Frames that may never be on the link, in no state: what is allowed there is left out."""
    ready = {qube.name: QubeState.READY for qube in chain.qubes}
    patterns = allowed(chain, link, ready)
    for packet in _packets(chain, link):
        frame = build.ethernet(CLIENT_MAC, NETVM_MAC, build.ethertype_of(packet), packet)
        if not permits(patterns, decode(frame), Direction.UP):
            yield frame


def _packets(chain: Chain, link: Link) -> Iterator[bytes]:
    """True and forged source, each protocol and port, both families."""
    pairs: tuple[tuple[tuple[Address, Address], Address], ...] = (
        ((addressing.address4(chain, link.client), _FORGED4), _TARGET4),
        ((addressing.address6(chain, link.client), _FORGED6), _TARGET6),
    )
    for sources, target in pairs:
        for source in sources:
            yield build.ping(source, target, bytes(8))
            for port in _PORTS:
                yield build.udp(source, target, 40000, port, bytes(8))
                yield build.tcp_syn(source, target, 40000, port)

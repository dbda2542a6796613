"""A flood of frames that may never leave the chain, sent all the while that something breaks.

It comes from every workstation's end of its link, as a hostile workstation would send it, and from
every Tor gateway's end of its uplink, as if the gateway were taken over: towards each destination
class, in both families, ping, UDP, TCP and DNS, from true and false sources. What its own link may
carry while all is well is left out: there a qube that has just been closed would seem to send it.
The same shots go round and round, so that each is known to be heard before the fault, and one that
leaks is named by its marker whenever it was sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import cycle
from threading import Event, Thread
from typing import Self

from leaktests.engine.probe import EVERYWHERE, Aim, Probe
from leaktests.engine.shot import Markers, Shot, shots
from netchain.model.allowed import allowed
from netchain.model.chain import Chain, QubeState, Role
from netchain.prove import Sensor
from netchain.wire.decode import decode
from netchain.wire.judge import permits

RATE = 2000
"""Packets a second that must have come from the workstations, for a trial to count."""
_AIMED_AT = 2600  # per place, since a busy machine is late now and then
_BURST = 100  # less than any queue between two ends of a link holds
_PAUSE_S = 0.002
_PORTS = (53, 123, 443, 51820)
_FORGED = {4: ip_address("203.0.113.77"), 6: ip_address("2001:db8:beef::77")}
_SENDERS = frozenset({Role.WORKSTATION, Role.TOR_GATEWAY})


def _forbidden(aim: Aim) -> Iterator[bytes]:
    for source in (aim.own, _FORGED[aim.version]):
        yield aim.ping(src=source)
        yield aim.segment(443, src=source)
        yield aim.segment(53, src=source)
        for port in _PORTS:
            yield aim.datagram(port, src=source)


def frames(chain: Chain, id_: str, name: str, markers: Markers) -> list[Shot]:
    """The flood's shots, which name the fault as what they belong to."""
    probe = Probe(id_, name, _forbidden, classes=EVERYWHERE, roles=_SENDERS)
    return forbidden(chain, shots(chain, [probe], markers))


def forbidden(chain: Chain, every: Sequence[Shot]) -> list[Shot]:
    """Those that their own link may not carry while all is well."""
    ready = {qube.name: QubeState.READY for qube in chain.qubes}
    patterns = {link: allowed(chain, link, ready) for link in {s.place.link for s in every}}
    return [
        shot for shot in every
        if not permits(patterns[shot.place.link], decode(shot.frame), shot.place.direction)
    ]  # fmt: skip


class Flood:
    """Sends shots round and round, from each place as often; a context manager.

    `sent` counts those that the kernel took; one that it refuses (its link is down or gone) is
    left out. `failed` says why the sender ended by itself; None when it did not.
    """

    def __init__(self, sensor: Sensor, shots: Sequence[Shot]) -> None:
        self._sensor, self._shots = sensor, shots
        self._places = len({shot.place.name for shot in shots})
        self._ending = Event()
        self._thread = Thread(target=self._run, name="flood", daemon=True)
        self.sent, self.seconds = 0, 0.0
        self.failed: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; returns when the last one is sent."""
        self._ending.set()
        self._thread.join()

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until that many more were sent; False when that takes longer than that."""
        wanted, deadline = self.sent + count, time.monotonic() + seconds
        while self.sent < wanted and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)  # a bounded poll
        return self.sent >= wanted

    @property
    def round(self) -> int:
        """How many packets it takes until each shot was sent once."""
        return len(self._shots)

    def _run(self) -> None:
        start, tried = time.monotonic(), 0
        turn = cycle(_alternating(self._shots))
        try:
            while not self._ending.is_set():
                self.seconds = time.monotonic() - start
                due = int(self.seconds * _AIMED_AT * self._places) - tried
                for _ in range(min(due, _BURST)):
                    self._send(next(turn))
                tried += min(due, _BURST)
                if due < _BURST:
                    self._ending.wait(_PAUSE_S)
        except BaseException as error:
            self.failed = f"{type(error).__name__}: {error}"

    def _send(self, shot: Shot) -> None:
        try:
            self._sensor.inject(shot.place.link.name, shot.frame, shot.place.direction)
            self.sent += 1
        except (OSError, KeyError):  # the link is down, or is being made anew
            return


def _alternating(shots: Sequence[Shot]) -> list[Shot]:
    """As many from each place, in turn."""
    by_place: dict[str, list[Shot]] = {}
    for shot in shots:
        by_place.setdefault(shot.place.name, []).append(shot)
    longest = max((len(found) for found in by_place.values()), default=0)
    return [found[n % len(found)] for n in range(longest) for found in by_place.values()]


def rate(shots: Sequence[Shot], heard: Mapping[str, int], seconds: float) -> float:
    """Packets a second that were heard on the links of the workstations; `heard` is by link."""
    links = {s.place.link.name for s in shots if s.place.role is Role.WORKSTATION}
    return sum(heard[link] for link in links) / seconds if seconds else 0.0

"""Every lab test is listened to: all links of every chain that it brings up, judged at its end.

In any state nothing may be on a link but what `allowed()` grants when all is ready, so that is what
is asked here, whatever the test does: mends, kills, full disks. Excused are the frames that `up`
itself injects on their own link (its proof, canaries). Not covered: the links of an `up` that makes
them, until it has ended (it listens itself); tests that leak on purpose (marker own_taps).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from netchain.commands import common
from netchain.console import Console
from netchain.errors import NetchainError
from netchain.model.allowed import Link, links, tunnels
from netchain.model.chain import Chain, QubeState
from netchain.prove import sweep_frames
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.judge import judge
from netchain.wire.tap import Tap
from netchain.wire.timeline import Timeline

_TUNNEL_CANARY = build.tunnel_canary(bytes(16))[12:20]
"""Its addresses."""


class Ambient:
    """Hears the chains of one state directory until it is closed."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._taps: dict[str, Tap] = {}
        self._versions: dict[str, list[Chain]] = {}
        self._heard: dict[str, dict[str, list[Captured]]] = {}

    def follow(self, target: str) -> None:
        """Hear a chain that was brought up, as its profile is now; but for what is not there."""
        quiet = Console(quiet=True)
        with (
            self._there(),
            suppress(NetchainError, OSError),
            common.site(common.find(target), quiet) as (chain, site),
        ):
            self._versions.setdefault(target, []).append(chain)
            tap = self._fresh(target)
            for link in (*links(chain), *tunnels(chain)):
                with suppress(NetchainError):
                    tap.add(link.name, site.backend.taps(chain, [link])[link.name])

    def _fresh(self, target: str) -> Tap:
        """Another tap in the place of the last one, whose frames are kept."""
        self._take(target)
        self._taps[target] = Tap({})
        return self._taps[target]

    def _take(self, target: str) -> None:
        if target in self._taps:
            tap = self._taps.pop(target)
            tap.close()
            for link, frames in tap.take().items():
                self._heard.setdefault(target, {}).setdefault(link, []).extend(frames)

    @contextmanager
    def _there(self) -> Iterator[None]:
        before = os.environ.get("NETCHAIN_STATE_DIR")
        os.environ["NETCHAIN_STATE_DIR"] = self._state
        try:
            yield
        finally:
            del os.environ["NETCHAIN_STATE_DIR"]
            if before is not None:
                os.environ["NETCHAIN_STATE_DIR"] = before

    def leaks(self) -> list[str]:
        """What no version of its chain's profile allows."""
        found = []
        for target in list(self._taps):
            self._take(target)
        for target, heard in self._heard.items():
            each = [_leaks(chain, heard) for chain in self._versions[target]]
            found += [
                words for frame, words in each[0].items() if all(frame in one for one in each)
            ]
        return found


def _leaks(chain: Chain, heard: dict[str, list[Captured]]) -> dict[tuple[str, bytes], str]:
    timeline = Timeline()
    timeline.change(0, 0, {qube.name: QubeState.READY for qube in chain.qubes})
    there = {link.name: link for link in (*links(chain), *tunnels(chain))}
    frames = {name: foreign(chain, there[name], heard[name]) for name in heard if name in there}
    verdicts = judge(chain, timeline, frames)
    return {(v.link, leak.frame): str(leak) for v in verdicts for leak in v.leaks}


def foreign(chain: Chain, link: Link, frames: list[Captured]) -> list[Captured]:
    """Without what `up` injects there."""
    swept = link.netvm is not None and not link.tunnel
    ours = set(sweep_frames(chain, link)) if swept else set()
    return [c for c in frames if c.frame not in ours and not is_canary(c)]


def is_canary(captured: Captured) -> bool:
    """Whether it is somebody's canary, which no qube passes on."""
    if captured.link.endswith("--tunnel"):
        return captured.frame[12:20] == _TUNNEL_CANARY
    return captured.frame[12:14] == build.CANARY_ETHERTYPE.to_bytes(2)

"""Captured frames, and the store that one thread fills while others read it and wait for frames.

Theory of operation: the reader adds frames in batches, each batch under one lock, and wakes those
who wait after each round of all links. A waiter remembers how many frames of each link it has
looked at, and searches only newer ones, outside the lock, so that a search never keeps the reader
from its sockets. The store is bounded in bytes; what does not fit is not kept but counted, as lost
as if the kernel had dropped it. A link that can bring no more frames wakes its waiters at once:
nobody waits for a deaf tap.

A `Mark` is a position in all links at once. It counts frames, and so needs no clock: what is sent
after the mark was taken is behind it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from operator import attrgetter
from threading import Condition
from time import monotonic
from typing import NamedTuple

from netchain.wire.flow import LinkType

FRAME_OVERHEAD = 256
"""Bytes that Python needs, about, for one stored frame beside the frame's own."""

Mark = Mapping[str, int]
"""How many frames each link had brought, since the store was made."""


class Captured(NamedTuple):
    """One frame that a tap heard."""

    link: str
    time_ns: int
    """When the kernel saw it: CLOCK_REALTIME, ns since 1970."""
    outgoing: bool
    """It was sent through the tapped interface; False: it arrived there."""
    frame: bytes
    """From the link header on, VLAN tags included, without the frame check sequence."""
    truncated: bool = False
    """A part of it is missing here: to be judged like a frame that cannot be parsed."""
    link_type: LinkType = LinkType.ETHERNET


class Store:
    """Frames by link, bounded, with waiting. Every method may be called from any thread."""

    def __init__(self, memory_limit: int) -> None:
        """A store without links that keeps at most `memory_limit` bytes."""
        self._changed = Condition()
        self._frames: dict[str, list[Captured]] = {}
        self._added = Counter[str]()
        self._lost = Counter[str]()
        self._limit = self._room = memory_limit
        self._ended: set[str] = set()
        self._all_ended = False

    def open(self, link: str) -> None:
        """Expect frames of `link`: anew, or again after its `end`."""
        with self._changed:
            self._frames.setdefault(link, [])
            self._ended.discard(link)

    def add(self, link: str, batch: list[Captured]) -> None:
        """Keep `batch`, the next frames of `link`; without room for it, count it as lost."""
        need = sum(len(captured.frame) for captured in batch) + FRAME_OVERHEAD * len(batch)
        with self._changed:
            if need > self._room:
                self._lost[link] += len(batch)
                return
            self._room -= need
            self._frames[link] += batch
            self._added[link] += len(batch)

    def wake(self) -> None:
        """Let those who wait look at what was added.

        Not done for each batch: in a flood the waiters would take the reader's time to search.
        """
        with self._changed:
            self._changed.notify_all()

    def end(self, link: str) -> None:
        """Note that `link` brings no more frames."""
        with self._changed:
            self._ended.add(link)
            self._changed.notify_all()

    def end_all(self) -> None:
        """Note that no link brings any more frames."""
        with self._changed:
            self._all_ended = True
            self._changed.notify_all()

    def mark(self) -> Mark:
        """The position behind the frames that are here now."""
        with self._changed:
            return dict(self._added)

    def frames(self, link: str | None = None, since: Mark | None = None) -> list[Captured]:
        """The frames of `link` in the order of their arrival, or of all links by time.

        With `since` only those behind that mark. Raises KeyError for an unknown link.
        """
        before = since or {}
        with self._changed:
            if link is not None:
                return self._behind(link, before.get(link, 0))
            found = [self._behind(name, before.get(name, 0)) for name in self._frames]
        return sorted(chain.from_iterable(found), key=attrgetter("time_ns"))

    def _behind(self, link: str, count: int) -> list[Captured]:
        """The frames of `link` that came after its first `count`, but for those forgotten."""
        frames = self._frames[link]
        return frames[max(0, len(frames) - self._added[link] + count) :]

    def take(self) -> dict[str, list[Captured]]:
        """All frames by link, which are forgotten here; the losses are not."""
        with self._changed:
            found = self._frames
            self._frames = {link: [] for link in found}
            self._room = self._limit
            return found

    def lost(self) -> Counter[str]:
        """Frames by link that did not fit."""
        with self._changed:
            return self._lost.copy()

    def wait_for(
        self,
        wanted: Callable[[Captured], bool],
        links: Collection[str],
        deadline_s: float,
        since: Mark | None = None,
    ) -> frozenset[str]:
        """Wait until each of `links` has a frame behind the mark `since` that is `wanted`.

        Returns the links that still have none when `deadline_s` seconds are over, or when no
        missing link can bring another frame. Raises KeyError for an unknown link.
        """
        until = monotonic() + deadline_s
        missing = set(links)
        looked_at = {link: (since or {}).get(link, 0) for link in missing}
        while True:
            fresh, more = self._await_fresh(missing, looked_at, until)
            for link, frames in fresh.items():
                # The newest first: what one waits for was mostly sent just now.
                if any(wanted(captured) for captured in reversed(frames)):
                    missing.discard(link)
            if not missing or not more:
                return frozenset(missing)

    def _await_fresh(
        self, links: Collection[str], looked_at: dict[str, int], until: float
    ) -> tuple[dict[str, list[Captured]], bool]:
        """Frames that came after the first `looked_at`, which is moved on; and whether to go on."""
        with self._changed:
            while True:
                fresh = {link: self._behind(link, looked_at[link]) for link in links}
                looked_at.update({link: self._added[link] for link in links})
                left = until - monotonic()
                ended = self._all_ended or self._ended.issuperset(links)
                if any(fresh.values()) or left <= 0 or ended:
                    return fresh, left > 0 and not ended
                self._changed.wait(left)

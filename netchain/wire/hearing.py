"""What hears the links of a chain: the part that is the same wherever the sockets are.

A `Tap` holds the packet sockets itself; a `RemoteTap` has agents that hold them inside other
machines. Both fill a `Store`, and both owe their user the same honesty: a proof of silence needs
not failed, no dead link, no new outage, no drops, and the canary heard on that very link. `failed`
is asked last: what the other questions find out shows there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from netchain.wire.capture import Captured, Mark, Store

DOWN = "the interface is down"
GONE = "the interface is gone"

End = TypeVar("End")
"""What stands for one end of a link."""
_Given = TypeVar("_Given", contravariant=True)


class Senders(Protocol[_Given]):
    """Ways to send frames, by name."""

    def __contains__(self, name: str) -> bool: ...

    def add(self, name: str, injector: _Given) -> None:
        """Take a way to send over, in the place of one of that name."""

    def remove(self, name: str) -> None:
        """Close it; fine when there is none."""

    def send(self, name: str, frame: bytes) -> None:
        """KeyError for an unknown name, OSError if it cannot be sent."""

    def send_all(self, name: str, frames: Sequence[bytes]) -> int:
        """Send the first of the frames, as many as one call takes; how many.

        KeyError for an unknown name, OSError if the first one cannot be sent.
        """


class Hearing(ABC, Generic[End]):
    """Hears links from the moment they are added until `close`; a context manager."""

    injectors: Senders[End]
    """The ways to send: of the links by their names, and others."""
    _store: Store

    @abstractmethod
    def add(self, link: str, tap: End, injector: End | None = None) -> None:
        """Listen on `link`, too, at `tap`; send over it from `injector`, which may be its other
        end. Raises ValueError for a link that was added before."""

    @abstractmethod
    def remove(self, link: str) -> None:
        """Stop listening on `link`, whose frames and drops stay. KeyError for an unknown link."""

    @property
    @abstractmethod
    def failed(self) -> str | None:
        """Why nothing can be heard although nobody closed it; None while it listens."""

    @property
    @abstractmethod
    def dead(self) -> Mapping[str, str]:
        """Links that cannot be heard, and why. One that was down is back with its next frame."""

    @property
    @abstractmethod
    def outages(self) -> Mapping[str, int]:
        """How often each link, since it was added, was found down or gone, or in error."""

    @abstractmethod
    def drops(self) -> Mapping[str, int]:
        """Frames of each link that were lost."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening. Frames, drops and dead links can still be asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def mark(self) -> Mark:
        """The position behind all frames stored by now, for `frames` and `wait_for`."""
        return self._store.mark()

    def frames(self, link: str | None = None, since: Mark | None = None) -> list[Captured]:
        """What `link` brought in the order of its arrival, or all links by time; behind `since`.

        Raises KeyError for an unknown link.
        """
        return self._store.frames(link, since)

    def take(self) -> Mapping[str, list[Captured]]:
        """The stored frames by link, which are forgotten here: room for others. Drops stay."""
        return self._store.take()

    def wait_for(
        self,
        wanted: bytes | Callable[[Captured], bool],
        links: Collection[str],
        deadline_s: float,
        since: Mark | None = None,
    ) -> frozenset[str]:
        """Wait until each of `links` has brought a frame that is `wanted`, behind the mark `since`.

        `wanted` is a part of the frame's bytes, or a predicate. Without `since` all stored frames
        count, and are searched. Returns the links still missing: when `deadline_s` seconds are
        over, or sooner when no missing link can bring another frame. Raises KeyError for an unknown
        link.
        """
        if isinstance(wanted, bytes):
            needle = wanted
            return self._store.wait_for(lambda seen: needle in seen.frame, links, deadline_s, since)
        return self._store.wait_for(wanted, links, deadline_s, since)

    def inject(self, link: str, frame: bytes) -> None:
        """Send `frame` out of the injector of `link`, whose tap hears it like any other frame.

        Raises KeyError for a link without an injector, OSError if it cannot be sent.
        """
        self.injectors.send(link, frame)

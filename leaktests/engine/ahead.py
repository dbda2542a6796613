"""Something that is made in a thread while the chain is waited for, and taken when it is wanted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

_TURN_S = 0.0005
"""Each answer of the keeper waits until the thread gives the lock away: by itself after 5 ms."""
_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """One at a time; a context manager, which shortens the turns of every thread of the process."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._begun: Future[_T] | None = None

    def __enter__(self) -> Self:
        self._turn = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        self._thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        sys.setswitchinterval(self._turn)

    def begin(self) -> None:
        """Make the next one from now on."""
        self._begun = self._thread.submit(self._make)

    def take(self) -> _T:
        """The one that was begun, or one that is made now."""
        begun, self._begun = self._begun, None
        return self._make() if begun is None else begun.result()

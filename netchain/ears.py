"""Hears that something in a chain's qubes has changed: the kernel's own events, qube by qube."""

from __future__ import annotations

import errno
import selectors
import socket
from typing import Self

from netchain.backends.base import Backend
from netchain.model.chain import Chain
from netchain.model.names import QubeName


class Ears:
    """The event sockets of every living qube of a chain.

    They are closed as soon as the backend is lost: each keeps its qube's network alive.
    """

    def __init__(self, chain: Chain, backend: Backend) -> None:
        self._chain, self._backend = chain, backend
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear nothing any more; `listen` begins again."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()

    def listen(self) -> None:
        """Hear every qube that is there now. What changed before is for a look after this."""
        self.close()
        for name, sockets in self._backend.events(self._chain).items():
            for sock in sockets:
                self._selector.register(sock, selectors.EVENT_READ, name)

    def wait(self, seconds: float) -> set[QubeName]:
        """The qubes in which something changed; none when nothing did for so long."""
        heard = set()
        for key, _ in self._selector.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            _drain(key.fileobj)
            heard.add(key.data)
        return heard


def _drain(sock: socket.socket) -> None:
    while True:
        try:
            sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # some were lost: it is heard all the same
                raise

"""One tap for many links: hear every frame of a chain, and know when something was not heard.

Theory of operation: packet sockets that were opened in the qubes' namespaces are read by one
daemon thread, which waits on all of them with epoll and moves what they hold, in batches, into a
`Store`. Whoever needs a verdict sends a canary last and waits for it on each link: what was sent
before it on the same path has then been heard, without any sleep.

    packet_socket   opens the sockets; what the kernel says about them
    receiver        reads one socket: frame, time, direction, VLAN tag
    sender          sends many frames at once
    capture         `Captured`, and the store with its waiting
    hearing         what a tap is to its users, wherever its sockets are
    tap             the thread, dead links, drops, injection

A tap never goes deaf in silence: `failed` says why the reader ended, `dead` which links cannot be
heard, `outages` how often a link was down, `drops` how many frames were lost. A proof of silence
needs: not failed, no dead link, no new outage, no drops, and the canary heard on that very link.
"""

import errno
import os
import select
import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock, Thread
from time import time_ns

from netchain.wire.capture import Captured, Store
from netchain.wire.flow import LinkType
from netchain.wire.hearing import DOWN, GONE, Hearing
from netchain.wire.packet_socket import (
    close_all,
    interface_of,
    is_capturing,
    link_type_of,
    open_inject_socket,
    open_packet_socket,
    take_drops,
)
from netchain.wire.receiver import BATCH, Receiver
from netchain.wire.sender import Injectors

__all__ = ["Captured", "Tap", "open_inject_socket", "open_packet_socket"]

_ROUNDS = 8
"""Batches that one link may bring before the other links have their turn."""
_RECHECK_S = 0.05
"""How often it is looked whether a link that is down is gone: the kernel does not say so."""


class _Link:
    """One socket and what became of it. Only the reader changes it, but for `drops`."""

    def __init__(self, name: str, tap: socket.socket) -> None:
        gone = interface_of(tap) == ""
        self.name = name
        self.link_type = LinkType.ETHERNET if gone else link_type_of(tap)
        self.dead: str | None = GONE if gone else None
        self.gone = gone
        self.down_ns = 0
        self.outages = 0
        self.drops = 0
        self.socket = socket.socket(fileno=tap.detach())


class Tap(Hearing[socket.socket]):
    """Hears its links from the moment they are added until `close`; a context manager.

    `injectors` are the ways to send: of the links by their names, and others. The tap takes sockets
    over: it detaches them from the objects passed in, and closes them.
    """

    injectors: Injectors

    def __init__(
        self,
        sockets: Mapping[str, socket.socket],
        injectors: Mapping[str, socket.socket] | None = None,
        memory_limit: int = 512 << 20,
    ) -> None:
        """Listen on `sockets` and send through `injectors`, both by link; see `add`.

        `memory_limit` bounds the stored frames, in bytes; what is beyond counts as drops.
        Raises ValueError as `add` does, and closes the sockets that it took over by then.
        """
        self._links: dict[int, _Link] = {}
        self._store = Store(memory_limit)
        self._serving, self._statistics = Lock(), Lock()
        self._past = Counter[str]()
        self.injectors = Injectors()
        self._receiver = Receiver()
        self._failed: str | None = None
        self._closing = False
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._reader = Thread(target=self._read, name="netchain-tap", daemon=True)
        self._reader.start()
        given = injectors or {}
        try:
            for link, tap in sockets.items():
                self.add(link, tap, given.get(link))
        except BaseException:
            self.close()
            raise

    def add(self, link: str, tap: socket.socket, injector: socket.socket | None = None) -> None:
        """Listen on `link`, too: `tap` was made by `open_packet_socket` at one end of it.

        `injector` was made by `open_inject_socket` at either end. Raises ValueError for a link that
        was added before, a socket of another kind, or an interface whose frames cannot be read.
        """
        if any(other.name == link for other in self._links.values()):
            raise ValueError(f"the link {link!r} is tapped already")
        if not is_capturing(tap):
            raise ValueError(f"the socket of {link!r} was not made by open_packet_socket")
        added = _Link(link, tap)
        self._store.open(link)
        if injector is not None:
            self.injectors.add(link, injector)
        descriptor = added.socket.fileno()
        with self._serving:
            self._links[descriptor] = added
            if added.gone:
                self._store.end(link)
            else:
                self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, link: str) -> None:
        """Stop listening on `link`, whose frames and drops stay. Takes about 20 ms.

        Of what waits in its socket, 1024 frames are still stored: in a flood, wait for a canary
        first. Raises KeyError for an unknown link.
        """
        with self._serving, self._statistics:
            found = {other.name: other for other in self._links.values()}[link]
            descriptor = found.socket.fileno()
            self._drain(found)
            del self._links[descriptor]
            with suppress(FileNotFoundError):  # one whose interface is gone
                self._epoll.unregister(descriptor)
            self._past[link] += found.drops + take_drops(found.socket)
        self._store.end(link)
        self.injectors.remove(link)
        found.socket.close()

    @property
    def failed(self) -> str | None:
        """Why the reader ended although nobody closed the tap; None while it listens."""
        return self._failed

    @property
    def dead(self) -> Mapping[str, str]:
        """Links that cannot be heard, and why. One that was down is back with its next frame."""
        return {link.name: link.dead for link in list(self._links.values()) if link.dead}

    @property
    def outages(self) -> Mapping[str, int]:
        """How often each link, since it was added, was found down or gone, or in error."""
        return {link.name: link.outages for link in list(self._links.values())}

    def drops(self) -> Mapping[str, int]:
        """Frames of each link that were lost: for want of kernel buffer, or of `memory_limit`."""
        with self._statistics:
            counts = self._store.lost()
            counts.update(self._past)
            for link in list(self._links.values()):
                if link.socket.fileno() >= 0:
                    link.drops += take_drops(link.socket)
                counts[link.name] += link.drops
        return counts

    def close(self) -> None:
        """Stop listening. Frames, drops and dead links can still be asked for."""
        if self._closing:
            return
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._reader.join()
        self.drops()
        close_all([link.socket for link in self._links.values()] + self.injectors.take())
        self._epoll.close()
        os.close(self._wake)

    def _read(self) -> None:
        """The reader thread."""
        try:
            while not self._closing:
                self._serve()
        except BaseException as error:
            self._failed = f"{type(error).__name__}: {error}"
        finally:
            self._store.end_all()

    def _serve(self) -> None:
        """Wait for frames, store them, and look whether a link that is down is gone."""
        down = [link for link in list(self._links.values()) if link.dead and not link.gone]
        ready = self._epoll.poll(_RECHECK_S if down else None)
        with self._serving:
            for descriptor, _ in ready:
                if descriptor in self._links:
                    self._drain(self._links[descriptor])
            for link in down:
                if link.socket.fileno() in self._links and interface_of(link.socket) == "":
                    self._bury(link, GONE)
        self._store.wake()

    def _drain(self, link: _Link) -> None:
        """Store what waits on `link`, also behind an error: the kernel reports that one first."""
        descriptor = link.socket.fileno()
        for _ in range(_ROUNDS):
            try:
                batch = self._receiver.receive(descriptor, link.name, link.link_type)
            except OSError as error:
                self._note(link, error)
                if link.gone:  # if frames are left, epoll says so again
                    return
                continue
            if batch:
                self._store.add(link.name, batch)
                if link.dead == DOWN and batch[-1].time_ns > link.down_ns:
                    link.dead = None
            if len(batch) < BATCH:
                return

    def _note(self, link: _Link, error: OSError) -> None:
        """Record an error of the socket; one that is not known to pass is the end of the link."""
        link.outages += 1
        if error.errno != errno.ENETDOWN:
            self._epoll.unregister(link.socket.fileno())
            self._bury(link, str(error))
        elif interface_of(link.socket) == "":
            self._bury(link, GONE)
        else:
            link.dead, link.down_ns = DOWN, time_ns()

    def _bury(self, link: _Link, reason: str) -> None:
        link.dead, link.gone = reason, True
        self._store.end(link.name)

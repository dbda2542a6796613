"""Send frames through packet sockets, many with one call.

Theory of operation: one sendmmsg(2) through ctypes that keeps the interpreter lock, as `receiver`
does and for the same reason: `socket.send` lets go of it for each frame, and then waits for the
reader thread. It never blocks. Frames are copied into one buffer, so that only offsets change.
"""

import ctypes
import os
import socket
from collections.abc import Sequence
from threading import Lock

from netchain.wire.receiver import Header, Message

BATCH = 256
"""Frames that one call sends at most."""


class Injectors:
    """Packet sockets to send through, by name; any thread may use them."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._lock, self._sender = Lock(), Sender()

    def add(self, name: str, injector: socket.socket) -> None:
        """Take a socket of `open_inject_socket` over, in the place of one of that name."""
        self.remove(name)
        self._sockets[name] = socket.socket(fileno=injector.detach())

    def __contains__(self, name: str) -> bool:
        return name in self._sockets

    def remove(self, name: str) -> None:
        """Close it; fine when there is none."""
        if name in self._sockets:
            self._sockets.pop(name).close()

    def send(self, name: str, frame: bytes) -> None:
        """KeyError for an unknown name, OSError if it cannot be sent."""
        self._sockets[name].send(frame)

    def send_all(self, name: str, frames: Sequence[bytes]) -> int:
        """Send the first of the frames, as many as one call takes; how many.

        KeyError for an unknown name, OSError if the first one cannot be sent.
        """
        with self._lock:
            return self._sender.send(self._sockets[name].fileno(), frames)

    def take(self) -> list[socket.socket]:
        """All sockets, to be closed; they are forgotten here."""
        found = list(self._sockets.values())
        self._sockets = {}
        return found


class Sender:
    """Buffers for one thread to send frames with."""

    def __init__(self) -> None:
        self._vectors = (ctypes.c_uint64 * (2 * BATCH))()  # struct iovec: base, length
        self._messages = (Message * BATCH)()
        start = ctypes.addressof(self._vectors)
        for number, message in enumerate(self._messages):
            message.header = Header(vectors=start + number * 16, vector_count=1)
        self._sendmmsg = ctypes.PyDLL(None, use_errno=True).sendmmsg

    def send(self, descriptor: int, frames: Sequence[bytes]) -> int:
        """Send the first `BATCH` of the frames, in order; how many of them were taken.

        Raises OSError when the first one is not.
        """
        batch = frames[:BATCH]
        data = b"".join(batch)
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        for number, frame in enumerate(batch):
            self._vectors[2 * number] = address
            self._vectors[2 * number + 1] = len(frame)
            address += len(frame)
        count = int(self._sendmmsg(descriptor, self._messages, len(batch), socket.MSG_DONTWAIT))
        if count < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return count

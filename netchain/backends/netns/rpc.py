"""Messages between netchain's own processes: JSON with a length before it, descriptors beside it.

One frame is four bytes of length (big endian) and a JSON object; descriptors travel with its first
bytes (unix(7), SCM_RIGHTS). Used on the keeper's socket and between keeper and rule loader.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]
MAX_FDS = 128
_MAX_FRAME = 64 << 20


class ClosedError(ConnectionError):
    """The other side is gone."""


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; raises OSError when the other side is gone."""
    body = json.dumps(message).encode()
    data = struct.pack("!I", len(body)) + body
    if fds:
        sent = socket.send_fds(sock, [data], list(fds))
        data = data[sent:]
    sock.sendall(data)


def receive(sock: socket.socket) -> tuple[Message, list[int]]:
    """The next message and its descriptors; ClosedError at the end, ValueError on nonsense."""
    header, fds, _flags, _address = socket.recv_fds(sock, 4, MAX_FDS)
    if len(header) < 4:
        header += _exactly(sock, 4 - len(header), at_start=not header)
    (length,) = struct.unpack("!I", header)
    if length > _MAX_FRAME:
        raise ValueError(f"a message of {length} bytes")
    message = json.loads(_exactly(sock, length))
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message, fds


def _exactly(sock: socket.socket, count: int, *, at_start: bool = False) -> bytes:
    parts = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            raise ClosedError("closed" if at_start else "closed in the middle of a message")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

"""Stands between netchain and its keeper, on the keeper's own socket, and hears every request.

The program that is killed is netchain itself, unchanged: it connects to the socket that it knows.
Each request passes a `before` hook, is handed on, passes `asked`, and its answer passes `after`,
whether or not anybody is left to read it. What this process itself asks goes past the hooks.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Protocol

from netchain.backends.netns import rpc

Message = rpc.Message


class Dropped(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by a hook: the request is not handed on, and its client is let go."""


class Hooks(Protocol):
    """What happens at a request; each is called in a thread of the connection's own."""

    def before(self, message: Message) -> Message:
        """The request that is handed on; Dropped for none."""

    def asked(self, message: Message) -> None: ...

    def after(self, message: Message, answer: Message | None) -> None:
        """The answer; None when the keeper ended before it."""


class Proxy:
    """Takes the place of the keeper's socket until it is closed; a context manager."""

    def __init__(self, directory: Path, hooks: Hooks) -> None:
        self._path, self._keeper = directory / "keeper.sock", directory / "keeper.real"
        self._hooks = hooks
        self._path.rename(self._keeper)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._path))
        self._closed = False
        self._listening.listen(16)
        Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self, *, keeper_lives: bool = True) -> None:
        """Give the socket back, or with a dead keeper leave none; nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        if keeper_lives:
            self._keeper.rename(self._path)
        else:
            self._path.unlink()
            self._keeper.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Requests of one client to its end; a thread beside this one brings the answers back."""
        keeper = socket.socket(socket.AF_UNIX)
        with client, keeper:
            try:
                keeper.connect(str(self._keeper))
            except OSError:
                return
            heard = _peer(client) != os.getpid()
            waiting: list[Message] = []
            back = Thread(
                target=self._bring_back, args=(client, keeper, waiting, heard), daemon=True
            )
            back.start()
            with suppress(OSError, ValueError, Dropped):
                while True:
                    self._hand_on(*rpc.receive(client), keeper, waiting, heard)
            with suppress(OSError):
                keeper.shutdown(socket.SHUT_WR)  # a program that runs for the client ends so
            back.join()

    def _hand_on(
        self, message: Message, fds: list[int], keeper: socket.socket, waiting: list[Message],
        heard: bool,
    ) -> None:  # fmt: skip
        try:
            if heard:
                message = self._hooks.before(message)
            waiting.append(message)
            rpc.send(keeper, message, fds)
        finally:
            for fd in fds:
                os.close(fd)
        if heard:
            self._hooks.asked(message)

    def _bring_back(
        self, client: socket.socket, keeper: socket.socket, waiting: list[Message], heard: bool
    ) -> None:
        while True:
            try:
                answer, fds = rpc.receive(keeper)
            except (OSError, ValueError):
                break
            if heard:
                self._hooks.after(waiting.pop(0), answer)
            with suppress(OSError):  # killed
                rpc.send(client, answer, fds)
            for fd in fds:
                os.close(fd)
        if heard and waiting:
            self._hooks.after(waiting.pop(0), None)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _peer(client: socket.socket) -> int:
    """PID of the process at the other end (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[0])

"""The command line's side of a keeper: one request, one answer."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from netchain import paths
from netchain.backends.base import Completed, User
from netchain.backends.netns import rpc, starter, syscalls
from netchain.errors import Exit, NetchainError, Problem

DESCRIPTORS = 4096
"""What processes raise their limit to: with 500 qubes, the usual 1024 is not enough for the keeper
(two or three a qube), nor for who listens to their links (two a link)."""
_ANSWER_S = 30.0
_ENDING_S, _POLL_S = 2.0, 0.02
_MAX_OUTPUT = 64 << 20


def site_dir(site: str) -> Path:
    """The site's directory: the keeper's socket and the logs."""
    directory = paths.runtime_dir() / "sites" / site
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def log_path(directory: Path, node: str, service: str) -> Path:
    """Where a service's own words go."""
    return directory / f"{node.replace(':', '.')}.{service}.log"


Show = Callable[[str, Mapping[str, Any]], None]


class KeeperClient:
    """A connection to a site's keeper. Every failed request is a NetchainError.

    `show` is told of every operation and its arguments before it is asked for; `hint` is the
    command that brings the site up.
    """

    def __init__(
        self, site: str, show: Show = lambda _do, _arguments: None, hint: str = ""
    ) -> None:
        self.site = site
        self._hint = hint or f"netchain {site} up"
        self._show = show
        self.directory = site_dir(site)
        self._path = self.directory / "keeper.sock"
        self._idle = [self._connect()]

    @classmethod
    def start(cls, site: str, show: Show = lambda _do, _arguments: None) -> Self:
        """Connect, starting the keeper when there is none. One that cannot be reached is left
        alone: chains may be in it."""
        try:
            return cls(site, show)
        except NetchainError as error:
            if error.exit_code is not Exit.NOT_READY:
                raise
            directory = site_dir(site)
            starter.start(site, directory / "keeper.sock", directory / "keeper.log")
            return cls(site, show)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    def _connect(self) -> socket.socket:
        """A keeper that is just ending is waited for, so that it is gone or an error, not both."""
        deadline = time.monotonic() + _ENDING_S
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(_ANSWER_S)
            try:
                sock.connect(str(self._path))
                return sock
            except OSError as error:
                sock.close()
                alive = any(starter.find(self.site))
                if not alive or time.monotonic() > deadline:
                    raise self._unreachable(error, alive) from error
            time.sleep(_POLL_S)  # a bounded poll

    def _unreachable(self, error: OSError, alive: bool) -> NetchainError:
        """Not up only when nobody listens and no keeper runs; all else is no state to act on."""
        gone = (errno.ENOENT, errno.ECONNREFUSED, None)  # None: no socket can have such a path
        if error.errno in gone and not alive:
            title = f"the {self.site} site is not up"
            return NetchainError(Problem("E050", title, help=self._hint), Exit.NOT_READY)
        title = f"the keeper of site {self.site} runs, but cannot be reached: {error.strerror}"
        hint = f"try again; {self._hint.replace(' up', ' down')} ends it, with every chain in it"
        return NetchainError(Problem("E036", title, str(self._path), help=hint))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One operation of the keeper (operations.py); its answer."""
        answer, fds = self._exchange(do, arguments)
        for fd in fds:
            os.close(fd)
        return answer

    def ask_socket(self, do: str, **arguments: Any) -> socket.socket:
        """An operation that answers with an open socket."""
        return self.ask_sockets(do, 1, **arguments)[0]

    def ask_sockets(self, do: str, count: int, **arguments: Any) -> list[socket.socket]:
        """An operation that answers with so many open sockets."""
        syscalls.allow_descriptors(DESCRIPTORS)
        _, fds = self._exchange(do, arguments)
        if len(fds) < count:  # the kernel leaves out what there is no room for
            for fd in fds:
                os.close(fd)
            raise NetchainError(Problem("E002", "too many open files (ulimit -n)"))
        return [socket.socket(fileno=fd) for fd in fds]

    def pid(self, node: str) -> int:
        """The process that holds the node, as this process numbers it."""
        _, (fd,) = self._exchange("pidfd", {"node": node})
        try:
            lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        finally:
            os.close(fd)
        return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))

    def _exchange(self, do: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Threads that ask at once have a connection each. One is kept only when the whole answer
        was read (Ctrl-C may come in between): the next request would take a rest for its own."""
        self._show(do, arguments)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        is_whole = False
        try:
            rpc.send(connection, {"do": do, **arguments})
            answer, fds = rpc.receive(connection)
            is_whole = True
        except OSError as error:
            raise self._gone(error) from error
        finally:
            if is_whole:
                self._idle.append(connection)
            else:
                connection.close()
        if "error" in answer:
            raise NetchainError(Problem("E052", str(answer["error"])))
        return answer, fds

    def _gone(self, error: OSError) -> NetchainError:
        if isinstance(error, TimeoutError):
            title = f"the keeper of site {self.site} did not answer in {_ANSWER_S:g} s"
            state = "It may still do what it was asked for. Look: netchain status"
            return NetchainError(Problem("E051", title), state=state)
        return NetchainError(
            Problem("E051", f"the keeper of site {self.site} is gone ({error})"),
            state="Its namespaces are gone with it: closed.",
        )

    def spawn(
        self,
        node: str,
        argv: Sequence[str],
        streams: tuple[int, int, int],
        *,
        user: User,
        terminal: bool = False,
        directory: str = "/",
        environment: Mapping[str, str] | None = None,
    ) -> Spawned:
        """Start a program in a node on these descriptors; it ends when `Spawned` is closed."""
        connection = self._connect()
        message = {
            "do": "spawn", "node": node, "argv": list(argv), "user": user, "terminal": terminal,
            "directory": directory, "environment": environment,
        }  # fmt: skip
        try:
            rpc.send(connection, message, streams)
        except OSError as error:
            connection.close()
            raise self._gone(error) from error
        return Spawned(connection, argv[0])

    def execute(
        self, node: str, argv: Sequence[str], stdin: bytes, timeout: float, user: User
    ) -> Completed:
        """Run a program to its end and collect its output (64 MiB at most of each stream)."""
        self._show("execute", {"node": node, "argv": argv, "stdin": len(stdin)})
        source = os.memfd_create("stdin")
        os.write(source, stdin)
        os.lseek(source, 0, os.SEEK_SET)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        try:
            with self.spawn(node, argv, (source, out_end, err_end), user=user) as spawned:
                for fd in (source, out_end, err_end):
                    os.close(fd)
                deadline = time.monotonic() + timeout
                output = _read_both(out, err, deadline)
                status = spawned.wait(deadline - time.monotonic()) if output else None
        finally:
            os.close(out)
            os.close(err)
        if output is None or status is None:
            raise NetchainError(
                Problem("E053", f"{argv[0]} in {node} did not end within {timeout:g} s"),
                Exit.NOT_READY,
            )
        return Completed(status, output[0], output[1])


class Spawned:
    """A program that runs in a node; closing it ends the program."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._connection = connection
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def fileno(self) -> int:
        """Readable once the program has ended."""
        return self._connection.fileno()

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit status (128 + signal when it was killed); None after `timeout` seconds."""
        self._connection.settimeout(timeout if timeout is None else max(timeout, 0.001))
        try:
            answer, _ = rpc.receive(self._connection)
        except TimeoutError:
            return None
        except OSError as error:
            raise NetchainError(
                Problem("E051", "the keeper is gone, and the program too")
            ) from error
        if "error" in answer:
            raise NetchainError(Problem("E054", f"{self._name}: {answer['error']}"))
        return int(answer["status"])


def _read_both(out: int, err: int, deadline: float) -> tuple[bytes, bytes] | None:
    """Both streams to their ends; None when the deadline passes or one grows too long."""
    streams: dict[int, list[bytes]] = {out: [], err: []}
    open_streams = {out, err}
    total = 0
    poll = select.poll()  # not select(2), which knows no descriptor above 1023
    for fd in open_streams:
        poll.register(fd, select.POLLIN)
    while open_streams:
        readable = poll.poll(max(0, deadline - time.monotonic()) * 1000)
        if not readable or total > _MAX_OUTPUT:
            return None
        for fd, _ in readable:
            data = os.read(fd, 1 << 16)
            total += len(data)
            streams[fd].append(data)
            if not data:
                open_streams.discard(fd)
                poll.unregister(fd)
    return b"".join(streams[out]), b"".join(streams[err])

"""The keeper's side of the rule loader: asks it, and starts a new one when it has died."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from netchain.backends.netns import rpc
from netchain.backends.netns.listings import Loaded

_DEADLINE_S = 20.0
_AT_ONCE = 100  # namespaces a request: a message takes 128 descriptors (rpc.py)


class RuleLoader:
    """One nft worker process; every failure is an OSError with what nft said."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._start()

    def processes(self) -> list[subprocess.Popen[bytes]]:
        """The worker, while there is one."""
        return [self._process] if self._process else []

    def run(self, netns: int, text: str, *, json: bool = False, counters: bool = False) -> str:
        """Run nft text in the namespace (one transaction); what it printed."""
        message = {"do": "run", "text": text, "json": json, "counters": counters}
        return str(self._ask(message, [netns]))

    def check(self, text: str) -> str:
        """The canonical listing of the rules that the text makes, loaded where nobody is."""
        return str(self._ask({"do": "check", "text": text}))

    def known(self, keys: Sequence[str]) -> dict[str, str]:
        """The digests of what those texts become that were checked before, by `listings.key`."""
        return dict(self._ask({"do": "known", "keys": keys}))

    def learn(self, texts: Sequence[str]) -> list[dict[str, str]]:
        """Check texts; of each the `digest` of what it became, or the `error`."""
        return list(self._ask({"do": "learn", "texts": texts}))

    def loaded(self, netns: Sequence[int]) -> list[Loaded]:
        """The digests of all that is loaded in each namespace."""
        found: list[Loaded] = []
        for start in range(0, len(netns), _AT_ONCE):
            answer = self._ask({"do": "loaded"}, netns[start : start + _AT_ONCE])
            found += [Loaded(*digests) for digests in answer]
        return found

    def forget(self, netns: Iterable[int]) -> None:
        """Let go of namespaces whose nodes are gone: a kept context would keep them alive."""
        if self._socket is not None:
            self._ask({"do": "forget", "inodes": [os.fstat(fd).st_ino for fd in netns]})

    def _ask(self, message: rpc.Message, fds: Sequence[int] = ()) -> Any:
        try:
            self._send(message, fds)
            assert self._socket is not None
            answer, _ = rpc.receive(self._socket)
        except (OSError, ValueError) as error:
            # It may have run the text or not; only the caller knows whether to try that again.
            self.close()
            raise OSError(f"the rule loader died ({error}); a new one is started") from error
        if "error" in answer:
            raise OSError(f"nft: {answer['error']}")
        return answer["output"]

    def _send(self, message: rpc.Message, fds: Sequence[int]) -> None:
        """Send a request, to a new worker when the old one is dead: then nothing has run it."""
        if self._process is None or self._process.poll() is not None:
            self._restart()
        assert self._socket is not None
        try:
            rpc.send(self._socket, message, fds)
        except ConnectionError:  # it died just now
            self._restart()
            rpc.send(self._socket, message, fds)

    def _restart(self) -> None:
        self.close()
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "netchain.backends.netns.nft_worker"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        ours.settimeout(_DEADLINE_S)
        self._socket = ours

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(ChildProcessError):
                self._process.wait()
            self._process = None

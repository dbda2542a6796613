"""The rule loader: a process of its own around libnftables.

libnftables can abort its process (assertions; descriptors above 1023), and the keeper must not
die: its death takes the whole site down. One context per namespace is kept, opened while this
process stands in that namespace (a context belongs to the namespace it was opened in).

`check` loads a text into a scratch namespace that nobody else is in, and answers with the listing
of what it became: a test that only the kernel can give, and the canonical form to compare with.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from netchain.backends.netns import rpc, syscalls
from netchain.nft.library import load_library


class Worker:
    """Contexts by namespace (inode number), and the commands on them."""

    def __init__(self) -> None:
        self._nftables: Any = load_library().Nftables
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._scratch = self._new_context()
        syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        self._contexts: dict[int, Any] = {}

    def _new_context(self) -> Any:
        context = self._nftables()
        context.set_stateless_output(True)
        return context

    def _context(self, netns: int) -> Any:
        inode = os.fstat(netns).st_ino
        if inode not in self._contexts:
            syscalls.setns(netns, syscalls.CLONE_NEWNET)
            try:
                self._contexts[inode] = self._new_context()
            finally:
                syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        return self._contexts[inode]

    def handle(self, message: rpc.Message, fds: list[int]) -> rpc.Message:
        if message["do"] == "check":
            return self._check(message["text"])
        if message["do"] == "forget":
            # A context's socket would keep the namespace of a removed node alive.
            self._contexts.pop(os.fstat(fds[0]).st_ino, None)
            return {"output": ""}
        context = self._context(fds[0])
        context.set_json_output(bool(message.get("json")))
        context.set_stateless_output(not message.get("counters"))
        return self._run(context, message["text"])

    def _run(self, context: Any, text: str) -> rpc.Message:
        status, output, error = context.cmd(text)
        return {"error": error.strip() or "nft failed"} if status else {"output": output}

    def _check(self, text: str) -> rpc.Message:
        answer = self._run(self._scratch, text)
        if "error" not in answer:
            answer = self._run(self._scratch, "list ruleset")
        self._run(self._scratch, "flush ruleset")
        return answer


def main() -> None:
    """Answer requests on the socket whose descriptor is the first argument, until it closes."""
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        worker = Worker()
        while True:
            try:
                message, fds = rpc.receive(sock)
            except rpc.ClosedError:
                return
            try:
                rpc.send(sock, worker.handle(message, fds))
            finally:
                for fd in fds:
                    os.close(fd)


if __name__ == "__main__":
    main()

"""The rule loader: a process of its own around libnftables.

libnftables can abort its process (assertions; descriptors above 1023), and the keeper must not
die: its death takes the whole site down. One context per namespace is kept, opened while this
process stands in that namespace (a context belongs to the namespace it was opened in). Each has a
descriptor, so that MAX_CONTEXTS are kept at most: beyond, the half that was not used for longest is
closed, and opened again when it is needed. (Closing one soon after a change waits for the kernel,
some 12 ms: hence not one for each request.)

`check` loads a text into a scratch namespace that nobody else is in, and answers with the listing
of what it became: a test that only the kernel can give, and the canonical form to compare with.
What became of a text is remembered by the text's hash: the same library and kernel make the same
of it again. What is loaded is remembered as long as the kernel's generation of it stays.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

from netchain.backends.base import digest
from netchain.backends.netns import rpc, syscalls
from netchain.backends.netns.listings import key, loaded, role_table
from netchain.nft.library import load_library

MAX_CONTEXTS = 800
_NONSENSE = "}"
_MAX_KNOWN = 20_000  # texts; 150 bytes each
_NETLINK_NETFILTER, _NEW_GENERATION = 12, 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN
_GET_GENERATION = struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 0, 0, 0, 0, 0)  # NFT_MSG_GETGEN


class Worker:
    """Contexts by namespace (inode number), and the commands on them."""

    def __init__(self) -> None:
        self._nftables: Any = load_library().Nftables
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._scratch = self._new_context()
        syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        self._contexts: OrderedDict[int, Any] = OrderedDict()
        self._known: dict[str, str] = {}
        self._seen: dict[int, tuple[bytes, tuple[str, str]]] = {}

    def _new_context(self) -> Any:
        context = self._nftables()
        context.set_stateless_output(True)
        return context

    def _context(self, netns: int) -> Any:
        inode = os.fstat(netns).st_ino
        if inode not in self._contexts:
            if len(self._contexts) >= MAX_CONTEXTS:
                for _ in range(MAX_CONTEXTS // 2):
                    self._contexts.popitem(last=False)
            syscalls.setns(netns, syscalls.CLONE_NEWNET)
            try:
                self._contexts[inode] = self._new_context()
            finally:
                syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        self._contexts.move_to_end(inode)
        return self._contexts[inode]

    def handle(self, message: rpc.Message, fds: list[int]) -> rpc.Message:
        match message["do"]:
            case "check":
                return self._check(message["text"])
            case "known":
                known = {name: self._known.get(name) for name in message["keys"]}
                return {"output": {name: found for name, found in known.items() if found}}
            case "learn":
                return {"output": [self._learn(text) for text in message["texts"]]}
            case "loaded":
                return self._loaded(fds)
            case "forget":
                # A context's socket would keep the namespace of a removed node alive.
                for inode in message["inodes"]:
                    self._contexts.pop(inode, None)
                    self._seen.pop(inode, None)
                return {"output": ""}
        context = self._context(fds[0])
        context.set_json_output(bool(message.get("json")))
        context.set_stateless_output(not message.get("counters"))
        return self._run(context, message["text"])

    def _plainly(self, netns: int, text: str) -> rpc.Message:
        context = self._context(netns)
        context.set_json_output(False)
        context.set_stateless_output(True)
        return self._run(context, text)

    def _run(self, context: Any, text: str) -> rpc.Message:
        status, output, error = context.cmd(text)
        # A context keeps all that it has read of the rules, some 0.8 MB of a qube, until a command
        # of it fails (nft_run_cmd_from_buffer); a syntax error fails without asking the kernel.
        context.cmd(_NONSENSE)
        return {"error": error.strip() or "nft failed"} if status else {"output": output}

    def _check(self, text: str) -> rpc.Message:
        answer = self._run(self._scratch, text)
        if "error" not in answer:
            answer = self._run(self._scratch, "list ruleset")
        self._run(self._scratch, "flush ruleset")
        return answer

    def _learn(self, text: str) -> rpc.Message:
        """The digest of what the text becomes, remembered; or the error."""
        answer = self._check(text)
        if "error" in answer:
            return answer
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        found = digest(role_table(answer["output"]))
        self._known[key(text)] = found
        return {"digest": found}

    def _loaded(self, netns: Iterable[int]) -> rpc.Message:
        """The digests of the rules in each namespace; listed again when its generation changed."""
        found = []
        for fd in netns:
            inode, generation = os.fstat(fd).st_ino, self._generation(fd)
            if self._seen.get(inode, (b"",))[0] != generation:
                answer = self._plainly(fd, "list ruleset")
                if "error" in answer:
                    return answer
                self._seen[inode] = (generation, astuple(loaded(answer["output"])))
            found.append(self._seen[inode][1])
        return {"output": found}

    def _generation(self, netns: int) -> bytes:
        """The kernel's number for the rules of the namespace, which each transaction of anybody
        raises, with who made the last one. libnftables itself reads rules again only when it has
        changed (src/cache.c)."""
        syscalls.setns(netns, syscalls.CLONE_NEWNET)
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
                sock.send(_GET_GENERATION)
                answer = sock.recv(4096)
        finally:
            syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        if int.from_bytes(answer[4:6], sys.byteorder) != _NEW_GENERATION:
            raise OSError("the kernel does not tell the generation of its rules")
        return answer[16:]


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

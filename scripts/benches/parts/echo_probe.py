"""One echo, timed from inside a namespace."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

from netchain.backends.netns import syscalls
from netchain.wire.build import checksum


def icmp_socket(namespace: Path) -> socket.socket:
    """A socket stays in the namespace that it was opened in."""
    there, back = (os.open(p, os.O_RDONLY) for p in (namespace, "/proc/self/ns/net"))
    syscalls.setns(there, syscalls.CLONE_NEWNET)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    finally:
        syscalls.setns(back, syscalls.CLONE_NEWNET)
        os.close(there)
        os.close(back)


def await_echo(sock: socket.socket, target: str, number: int) -> None:
    """Send an echo request until one is answered; stops the bench after 5 s."""
    ident, body = 0x6E63, b"netchain"
    check = checksum(struct.pack("!BBHHH", 8, 0, 0, ident, number) + body)
    request = struct.pack("!BBHHH", 8, 0, check, ident, number) + body
    sock.settimeout(0.2)
    deadline = time.monotonic() + 5
    sock.sendto(request, (target, 0))
    while True:
        try:
            answer = sock.recv(200)[20:]
        except TimeoutError:  # the first was lost: what counts is when the path works at last
            if time.monotonic() > deadline:
                raise SystemExit("bench: no echo within 5 s") from None
            sock.sendto(request, (target, 0))
            continue
        kind, _, _, *identity = struct.unpack_from("!BBHHH", answer)
        if kind == 0 and identity == [ident, number]:
            return

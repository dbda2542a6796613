"""A program for a workstation: opens connections through tor by every way that programs use.

Standard input: a JSON list of ways (`Way` in test_tor_clients.py). Prints a line for each: `SOURCE
PORT`, or why not. All are held open until the last one was tried, and what goes through TransPort
(tor takes it at once, and only then connects) until it has answered or for two seconds.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
from typing import Any

_WAIT_S, _ANSWER_S = 30.0, 2.0


def connect(gateway: str, proxy: int, kind: str, host: str, port: int, user: str) -> socket.socket:
    if kind == "direct":
        return socket.create_connection((host, port), _WAIT_S)
    sock = socket.create_connection((gateway, proxy), _WAIT_S)
    if kind.startswith("socks4"):
        _socks4(sock, kind, host, port)
    else:
        _socks5(sock, kind, host, port, user)
    return sock


def _socks4(sock: socket.socket, kind: str, host: str, port: int) -> None:
    """SOCKS4 with an address, or SOCKS4a with a name."""
    named = kind == "socks4a"
    address = bytes((0, 0, 0, 1)) if named else socket.inet_aton(host)
    name = host.encode() + b"\0" if named else b""
    sock.sendall(struct.pack("!BBH", 4, 1, port) + address + b"\0" + name)
    answer = sock.recv(8)
    if answer[1:2] != b"\x5a":
        raise OSError(f"refused: {answer!r}")


def _socks5(sock: socket.socket, kind: str, host: str, port: int, user: str) -> None:
    """RFC 1928 with an address of either family, or with a name."""
    method = 2 if user else 0
    sock.sendall(bytes((5, 1, method)))
    if sock.recv(2) != bytes((5, method)):
        raise OSError("the method was refused")
    if user:
        sock.sendall(bytes((1, len(user))) + user.encode() + b"\x01x")
        sock.recv(2)
    if kind == "socks5-name":
        address = bytes((3, len(host))) + host.encode()
    elif ":" in host:
        address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    else:
        address = b"\x01" + socket.inet_aton(host)
    sock.sendall(b"\x05\x01\0" + address + struct.pack("!H", port))
    answer = sock.recv(64)
    if answer[1:2] != b"\0":
        raise OSError(f"refused: {answer!r}")


def main() -> None:
    ways: list[dict[str, Any]] = json.load(sys.stdin)
    held = []
    for way in ways:
        try:
            held.append(connect(**way))
            print(*held[-1].getsockname()[:2])
        except OSError as error:
            print(repr(error))
    for sock, way in zip(held, ways, strict=False):
        if way["kind"] == "direct":
            _answer(sock)


def _answer(sock: socket.socket) -> None:
    sock.settimeout(_ANSWER_S)
    with contextlib.suppress(OSError):
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        sock.recv(1)


if __name__ == "__main__":
    main()

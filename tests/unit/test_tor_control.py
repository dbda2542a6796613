"""A tor that does not answer is not waited for: not at first, and not in the middle.

Not covered: what a real tor says (tests/lab).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netchain.errors import NetchainError
from netchain.tor import control
from netchain.tor.control import Tor

pytestmark = pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning")  # stem's
_HELLO = b'250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250-VERSION Tor="0.4.8.0"\r\n250 OK\r\n'
_OK = b"250 OK\r\n"
BOUND_S = 5.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_ANSWER_S", 0.2)


@contextmanager
def tor_that_answers_until(last: bytes) -> Iterator[socket.socket]:
    """Our end of a control connection; whoever is there falls silent when `last` is asked."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs.makefile("rb") as lines:
            silent = False
            for line in lines:
                silent = silent or line.startswith(last)
                if not silent:
                    theirs.sendall(_HELLO if line.startswith(b"PROTOCOLINFO") else _OK)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        theirs.shutdown(socket.SHUT_RDWR)
        thread.join()
        theirs.close()


@pytest.mark.parametrize("last", [b"PROTOCOLINFO", b"AUTHENTICATE"])
def test_a_tor_that_accepts_and_says_nothing(last: bytes) -> None:
    start = time.monotonic()
    with (
        tor_that_answers_until(last) as connection,
        pytest.raises(NetchainError, match="does not answer"),
    ):
        Tor(connection)
    assert time.monotonic() - start < BOUND_S


def test_a_tor_that_falls_silent() -> None:
    with tor_that_answers_until(b"GETINFO status") as connection, Tor(connection) as tor:
        start = time.monotonic()
        with pytest.raises(NetchainError, match="does not answer"):
            tor.bootstrap()
        assert time.monotonic() - start < BOUND_S


def test_a_tor_that_wants_another_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "_HELLO", _HELLO.replace(b"NULL", b"HASHEDPASSWORD"))
    with (
        tor_that_answers_until(b"never") as connection,
        pytest.raises(NetchainError, match="does not answer"),
    ):
        Tor(connection)

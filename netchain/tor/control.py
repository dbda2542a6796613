"""Talks to tor through its control socket (the only user of stem)."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any, Self

from stem import CircStatus, ControllerError, OperationFailed
from stem.connection import AuthenticationFailure
from stem.control import Controller
from stem.socket import ControlSocket
from stem.util import log as stem_log

from netchain.errors import NetchainError, Problem

_ANSWER_S, _POLL_S = 5.0, 0.02
_ENDED = (CircStatus.FAILED, CircStatus.CLOSED)
_SETTLED = (CircStatus.BUILT, *_ENDED)

stem_log.get_logger().setLevel(stem_log.logging_level(None))


@dataclass(frozen=True)
class Bootstrap:
    """Tor's own word on its start: percent and what it is doing."""

    percent: int
    summary: str


class _Given(ControlSocket):  # type: ignore[misc]
    """A control connection that somebody else has opened."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._given = connection
        self.connect()

    def _make_socket(self) -> Any:
        return self._given


class Tor:
    """One tor on an open control connection. NetchainError when it does not answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(_ANSWER_S)  # one that accepts and says nothing must not hold us up
        self._controller = Controller(_Given(connection))
        try:
            self._controller.authenticate()
        except (ControllerError, AuthenticationFailure, OSError) as error:
            self._controller.close()
            raise NetchainError(Problem("E060", f"tor does not answer: {error}")) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.close()

    def bootstrap(self) -> Bootstrap:
        """`GETINFO status/bootstrap-phase` (control-spec)."""
        try:
            words = self._controller.get_info("status/bootstrap-phase")
        except ControllerError as error:
            raise NetchainError(Problem("E060", f"tor does not answer: {error}")) from error
        fields = dict(part.split("=", 1) for part in words.split() if "=" in part)
        summary = words.partition('SUMMARY="')[2].partition('"')[0]
        return Bootstrap(int(fields.get("PROGRESS", 0)), summary)

    def builds_a_circuit(self, seconds: float) -> bool:
        """Whether a new circuit is built in time (`EXTENDCIRCUIT 0`, control-spec); it is closed.

        Tor's own words prove nothing: with its network gone it went on with "100 %",
        network-liveness up and circuit-established for as long as was looked (49 s).
        """
        deadline = time.monotonic() + seconds
        try:
            number = self._controller.extend_circuit()
            while (status := self._status(number)) not in _SETTLED and time.monotonic() < deadline:
                time.sleep(_POLL_S)  # a bounded poll: an event would need a thread's callback
            if status not in _ENDED:
                self._controller.close_circuit(number)
        except OperationFailed:  # no relay is known, or the circuit is gone already
            return False
        except ControllerError as error:
            raise NetchainError(Problem("E060", f"tor does not answer: {error}")) from error
        return bool(status == CircStatus.BUILT)

    def _status(self, number: str) -> str:
        circuit = self._controller.get_circuit(number, None)
        return str(circuit.status) if circuit else str(CircStatus.CLOSED)

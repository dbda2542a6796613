"""Talks to tor through its control socket (the only user of stem)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stem import SocketError
from stem.control import Controller
from stem.util import log as stem_log

from netchain.errors import NetchainError, Problem

stem_log.get_logger().setLevel(stem_log.logging_level(None))


@dataclass(frozen=True)
class Bootstrap:
    """Tor's own word on its start: percent and what it is doing."""

    percent: int
    summary: str


class Tor:
    """A connection to one tor. Raises NetchainError when tor does not answer."""

    def __init__(self, socket_path: Path) -> None:
        try:
            self._controller = Controller.from_socket_file(str(socket_path))
            self._controller.authenticate()
        except (SocketError, OSError) as error:
            raise NetchainError(Problem("E060", f"tor does not answer: {error}")) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.close()

    def bootstrap(self) -> Bootstrap:
        """`GETINFO status/bootstrap-phase` (control-spec)."""
        words = self._controller.get_info("status/bootstrap-phase")
        fields = dict(part.split("=", 1) for part in words.split() if "=" in part)
        summary = words.partition('SUMMARY="')[2].partition('"')[0]
        return Bootstrap(int(fields.get("PROGRESS", 0)), summary)

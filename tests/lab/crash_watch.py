"""One run of netchain under watch: its effects are counted, its states noted, and it is struck.

An effect is what `-v` shows: a request to the keeper that changes something. The first request of
a step that has none (a wait, a proof) counts, too. A blow falls before a request is handed on (all
that came before it is done) or when it has just been handed on (the keeper works on it).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crash_proxy import Dropped, Message

from netchain.backends.netns import shell
from netchain.model.chain import QubeState
from netchain.model.names import QubeName
from netchain.nft.fill import BLOCKED_TABLE

BEFORE, ASKED = "before", "asked"
_SIGNS = ("+ ", "~ ", "- ", "? ")
_OPENING = f"delete table {BLOCKED_TABLE}\n"
_CLOSING = f"table {BLOCKED_TABLE} {{"


@dataclass(frozen=True)
class Point:
    """An instant of a run: the number of the effect, from 1, and when."""

    number: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} effect {self.number}"


@dataclass
class Run:
    """A command that was started; `struck` is the effect that it was struck at."""

    words: tuple[str, ...]
    said: Path
    at: Point | None = None
    blow: Callable[[Run, Message], Message | None] | None = None
    """Strikes; what it returns is asked in the place of the request. None: nobody asks."""
    prefix: tuple[str, ...] = ()
    """Words before the whole command line: unshare(1), say."""
    process: subprocess.Popen[bytes] | None = None
    said_at_end: str = ""
    effects: list[str] = field(default_factory=list)
    struck: str = ""
    _steps: int = 0
    _last: str = ""

    def begin(self, environment: dict[str, str], frames: Path) -> None:
        """Start it; standard error goes to a file, so that all it said is there when it asks."""
        shim = Path(__file__).with_name("crash_cli.py")
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, str(shim), str(frames), *self.words],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip

    def wait(self, seconds: float = 150) -> int:
        assert self.process is not None
        status = self.process.wait(seconds)
        self.said_at_end = self.said.read_text(errors="replace")
        return status

    @property
    def lives(self) -> bool:
        """Whether it has not ended: requests of others are none of its."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def steps(self) -> list[str]:
        """The steps that it has announced."""
        lines = self.said.read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith(_SIGNS)]

    def before(self, message: Message) -> Message:
        """Count it; strike if it is its turn. Dropped when nobody is to be asked."""
        steps = self.steps()
        effect = _effect(message)
        is_new = len(steps) != self._steps or (effect and effect != self._last)
        self._steps, self._last = len(steps), effect or self._last
        if steps and is_new:
            step = " ".join(steps[-1].split()[:3])
            self.effects.append(f"{step}: {(effect or message['do']).splitlines()[0][:60]}")
            return self._strike(BEFORE, message)
        return message

    def asked(self, message: Message) -> None:
        self._strike(ASKED, message)

    def _strike(self, when: str, message: Message) -> Message:
        if self.struck or self.blow is None or self.at != Point(len(self.effects), when):
            return message
        self.struck = self.effects[-1]
        given = self.blow(self, message)
        if given is None and when == BEFORE:
            raise Dropped
        return given or message


def _effect(message: Message) -> str:
    if message["do"] == "spawn":
        return " ".join(message["argv"])
    return "\n".join(shell.lines(message["do"], message, full=False))


def changed(message: Message, chain: str) -> dict[QubeName, QubeState]:
    """The state that a request brings a qube of the chain into, if it succeeds."""
    if message["do"] == "end":
        ended = [node.partition(":") for node in message["nodes"]]
        return {QubeName(name): QubeState.BLOCKED for of, _, name in ended if of == chain}
    of, _, name = str(message.get("node", "")).partition(":")
    if of != chain:
        return {}
    qube, text = QubeName(name), str(message.get("text", ""))
    if message["do"] in ("create", "remove") or (message["do"] == "rules" and _CLOSING in text):
        return {qube: QubeState.BLOCKED}
    if message["do"] == "rules" and text == _OPENING:
        return {qube: QubeState.READY}
    return {}


def write_frames(path: Path, frames: dict[str, set[bytes]]) -> None:
    """For crash_cli.py."""
    path.write_text(json.dumps({link: [f.hex() for f in some] for link, some in frames.items()}))

"""netchain watch: the state of a chain, again whenever it changes; with --block its sentinel."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from netchain import sentinel, state, wanted
from netchain.commands import common
from netchain.console import SCHEMA, Console
from netchain.ears import Ears
from netchain.errors import Exit, NetchainError
from netchain.heartbeat import Heartbeat
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.observed import Observed
from netchain.site import Site
from netchain.state import ChainNow

_POLL_S = 0.5
"""How often is asked what no event tells: programs, handshakes, sysctls without notification."""
_REDRAW = "\033[H\033[J"


class _OpenedError(Exception):
    """Something opened the chain; `observed` is what was seen."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        super().__init__()


@click.command("watch")
@click.argument("chain", default=common.DEFAULT_CHAIN)
@click.option("--block", is_flag=True, help="Block CHAIN the moment something opens it, and end.")
@common.output_options
def command(chain: str, block: bool, as_json: bool, quiet: bool) -> int:
    """Show CHAIN, and again whenever something of it changes, until Ctrl-C.

    A terminal gets the whole table each time, anything else one line a change; with --json one
    document a line.
    """
    found = common.find(chain)
    try:
        with common.site(found, Console(as_json=as_json, quiet=quiet)) as (resolved, site):
            return _watch(resolved, site, _Printer(as_json=as_json), block=block)
    except KeyboardInterrupt:
        print("Stopped watching: the chain goes on as it is.", file=sys.stderr)
        return 130


def _watch(chain: Chain, site: Site, printer: _Printer, *, block: bool) -> int:
    with Ears(chain, site.backend) as ears, Heartbeat(chain, site.backend) as heartbeat:
        watch = _Watch(chain, site, ears)
        try:
            watch.run(heartbeat, printer, block=block)
        except NetchainError as error:
            if not block:
                raise
            ears.close()  # they would keep alive what a lost keeper leaves
            state_ = sentinel.close(chain, site.backend)
            printer.blocked([str(problem) for problem in error.problems], state_, 0)
        except _OpenedError as opened:
            since = time.monotonic()
            state_ = sentinel.close(chain, site.backend)
            took = time.monotonic() - since
            printer.blocked(watch.words(opened.observed), state_, took)
    return Exit.FAILED


class _Watch:
    """One chain, what it should be, and the ears on it."""

    def __init__(self, chain: Chain, site: Site, ears: Ears) -> None:
        self._chain, self._site, self._ears = chain, site, ears
        self._wanted = wanted.desired(chain, site)

    def run(self, heartbeat: Heartbeat, printer: _Printer, *, block: bool) -> None:
        """Without end: NetchainError when the chain cannot be read, _OpenedError with `block`."""
        pulse, heard = "", set[QubeName]()
        while True:
            if block:
                self._guard(heard)
            now = self._site.backend.pulse(self._chain)
            is_new, pulse = now != pulse, now
            if is_new:
                self._ears.listen()
                if block:
                    self._guard({None})
            if heartbeat.feel() or is_new or heard:
                observed = self._site.backend.observe(self._chain)
                printer.show(
                    state.look(self._chain, self._site, self._wanted, observed, heartbeat.of)
                )
            heard = self._ears.wait(_POLL_S)

    def _guard(self, changed: set[QubeName] | set[None]) -> None:
        """Look at each qube that changed (None: at all)."""
        for name in changed:
            observed = self._site.backend.observe(self._chain, name)
            if sentinel.opened(self._chain, self._wanted, observed):
                raise _OpenedError(observed)

    def words(self, observed: Observed) -> list[str]:
        """What opened it."""
        return sentinel.words(self._chain, self._site, self._wanted, observed)


class _Printer:
    """Prints what is new."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last: ChainNow | None = None

    def show(self, now: ChainNow) -> None:
        before, self._last = self._last, now
        if now == before:
            return
        old = {qube.qube.name: qube for qube in before.qubes} if before else {}
        changed = [qube for qube in now.qubes if qube != old.get(qube.qube.name)]
        if self._as_json:
            names = [qube.qube.name for qube in changed]
            self._document({"event": "change" if before else "start", "changed": names, **now.data})
        elif sys.stdout.isatty():
            print(f"{_REDRAW}{now.text}\n{_time()}  Ctrl-C ends this, not the chain", flush=True)
        elif before is None:
            print(now.text, flush=True)
        else:
            for qube in changed:
                words = "; ".join(line.strip() for line in qube.lines)
                print(f"{_time()}  {now.verdict}  {words}", flush=True)

    def blocked(self, why: list[str], state_: str, seconds: float) -> None:
        """The end: what opened the chain, and what is closed now."""
        took = round(seconds * 1000, 1)
        if self._as_json:
            self._document(
                {"event": "blocked", "verdict": "error", "exit": int(Exit.FAILED), "why": why,
                 "ms": took, "state": state_}
            )  # fmt: skip
        for line in why:
            print(f"drift: {line}", file=sys.stderr)
        print(f"blocking took {took:g} ms", file=sys.stderr)
        print(state_, file=sys.stderr, flush=True)

    def _document(self, data: dict[str, Any]) -> None:
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(json.dumps({"schema": SCHEMA, "time": when, **data}), flush=True)


def _time() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]

"""The command line, for once told which frames a flood sends past the qubes' rules.

`crash_cli.py FRAMES WORD...`: what is in the file FRAMES (JSON: link to frames in hexadecimal) is
no finding of the proof's on that very link. On any other link it is one, as always. Canaries are
none either: the harness sends its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ambient import is_canary

from netchain import cli, prove
from netchain.model.chain import Chain
from netchain.wire.capture import Captured
from netchain.wire.judge import LinkVerdict, Timeline, judge


def main() -> None:
    """Run the program with a judge that knows the flood."""
    file = Path(sys.argv.pop(1))
    known = {k: set(map(bytes.fromhex, v)) for k, v in json.loads(file.read_text()).items()}

    def knowing(
        chain: Chain, timeline: Timeline, captured: Mapping[str, Iterable[Captured]],
        injected: Mapping[str, Collection[bytes]],
    ) -> list[LinkVerdict]:  # fmt: skip
        ours = {k: {*injected.get(k, ()), *known.get(k, ())} for k in captured}
        rest = {k: [c for c in found if not is_canary(c)] for k, found in captured.items()}
        return judge(chain, timeline, rest, ours)

    prove.judge = knowing
    cli.main()


if __name__ == "__main__":
    main()

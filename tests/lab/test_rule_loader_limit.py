"""The rule loader with more namespaces than it keeps contexts of: each gets its own rules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab
SCRIPT = """
import os
from netchain.backends.netns import nft_worker, syscalls
nft_worker.MAX_CONTEXTS = 8
worker = nft_worker.Worker()
namespaces = []
for _ in range(20):
    syscalls.unshare(syscalls.CLONE_NEWNET)
    namespaces.append(os.open("/proc/self/ns/net", os.O_RDONLY))
for number, fd in enumerate(namespaces):
    text = f"table inet t{number} {{ set s {{ type uid; elements = {{ {number + 1} }}; }}; }}"
    answer = worker.handle({"do": "run", "text": text}, [fd])
    assert answer == {"output": ""}, answer
for _ in range(2):
    for number, fd in enumerate(namespaces):
        listing = worker.handle({"do": "run", "text": "list ruleset"}, [fd])["output"]
        assert listing.startswith(f"table inet t{number} ") and f"{{ {number + 1} }}" in listing
    digests = worker.handle({"do": "loaded"}, namespaces)["output"]
    assert len({tables for _, _, tables in digests}) == 20
    assert len(worker._contexts) <= 8
print("done")
"""


def test_contexts_are_opened_again() -> None:
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr

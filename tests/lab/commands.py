"""What lab tests share that run the program as a person would: it, and what holds its qubes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ambient import Ambient

ROOT = Path(__file__).resolve().parents[2]
CHAIN = "vpn-before-tor"


class Netchain:
    """The command line with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.targets: set[str] = set()
        self.ambient: Ambient | None = None
        self.environment = {
            **os.environ, "NETCHAIN_STATE_DIR": str(state), "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def __call__(self, *words: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "netchain", *words], env=self.environment, text=True,
            capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        self._note(words)
        return done

    def _note(self, words: tuple[str, ...]) -> None:
        """Which chains are up, and who listens to them."""
        target = next((word for word in words[1:] if not word.startswith("-")), CHAIN)
        if words[0] == "up":
            self.targets.add(target)
            if self.ambient is not None:
                self.ambient.follow(target)
        elif words[0] == "down":
            self.targets.discard(target)
        elif words[:2] == ("lab", "down"):
            self.targets.clear()

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start it and go on; both outputs are pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "netchain", *words], env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def page(self) -> str:
        """What a page of the lab's web site says, fetched from the workstation; "" for nothing."""
        curl = ("curl", "-sS", "-m", "10", "http://news.lab/x")
        return self("exec", CHAIN, "--", *curl).stdout

    def keeper(self) -> int:
        """PID of the keeper of this state directory."""
        marker = f"netchain-keeper lab@{self.state}/run"
        found = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True).stdout
        (pid,) = found.split()
        return int(pid)

    def rule_loader(self) -> int:
        """PID of the keeper's rule loader; 0 when it has none."""
        children = ["pgrep", "-P", str(self.keeper()), "-f", "netchain.backends.netns.nft_worker"]
        found = subprocess.run(children, capture_output=True, text=True).stdout.split()
        return int(found[0]) if found else 0

    def holder(self, node: str) -> int:
        """PID of the process that holds a node's namespaces (CHAIN:QUBE, or lab:HOST)."""
        found = ["pgrep", "-P", str(self.keeper()), "-f", rf"^\[netchain\] {node}"]
        return int(subprocess.run(found, capture_output=True, text=True, check=True).stdout)

    def in_network(self, node: str, *command: str) -> str:
        """What a program prints that runs in the node's network, past the keeper."""
        enter = ["nsenter", f"--target={self.holder(node)}", "--user", "--net"]
        return subprocess.run(
            [*enter, "--preserve-credentials", *command], capture_output=True, text=True, check=True
        ).stdout


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)  # a bounded poll
    return False

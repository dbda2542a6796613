"""The kernel has the system call that waits for packets on their way; without it time is waited.

That nothing is late behind it cannot be tried in a moment: syscalls.py has the figures, and the
crash tests judge each packet by when it came.
"""

from __future__ import annotations

import time

import pytest

from netchain.backends.netns import syscalls


def test_it_is_the_kernel_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def asleep(seconds: float) -> None:
        raise AssertionError(f"membarrier(2) was refused: {seconds} s waited instead")

    monkeypatch.setattr(time, "sleep", asleep)
    syscalls.await_packets_in_flight()


def test_where_it_is_refused_time_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(syscalls, "_MEMBARRIER", {})
    syscalls.await_packets_in_flight()
    assert slept == [0.1]

"""What keeps a sensor's silence from being a proof, where no packet is needed for it.

Not covered: taps (tests/lab/test_prove.py, tests/lab/test_wire_tap.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from netchain.backends.fake import FakeBackend
from netchain.model.allowed import links
from netchain.model.chain import Chain
from netchain.prove import Sensor
from netchain.wire.timeline import Timeline

DOUBT = "the clock was set meanwhile: frames cannot be told apart by time"


def test_links_that_nobody_listens_on_are_doubts(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-before-tor")
    with Sensor(FakeBackend()) as sensor:
        verdict = sensor.verdict(chain, Timeline())
    assert verdict.doubts == tuple(f"nobody listens on {link.name}" for link in links(chain))


@pytest.mark.parametrize(
    ("after_s", "drift_ns", "doubted"),
    [
        (0, 2_000_000, True),
        (0, -2_000_000, True),
        (0, 500_000, False),  # two clocks are not read at the same moment
        (100, 40_000_000, False),  # slewed by NTP: 500 ppm at most (adjtime(3))
        (100, -40_000_000, False),
        (100, 200_000_000, True),
    ],
)
def test_a_clock_that_was_set_is_a_doubt(
    monkeypatch: pytest.MonkeyPatch, after_s: int, drift_ns: int, doubted: bool
) -> None:
    steady, wall = time.monotonic_ns(), time.time_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: steady)
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    with Sensor(FakeBackend()) as sensor:
        passed = after_s * 1_000_000_000
        monkeypatch.setattr(time, "monotonic_ns", lambda: steady + passed)
        monkeypatch.setattr(time, "time_ns", lambda: wall + passed + drift_ns)
        assert sensor.doubts() == ([DOUBT] if doubted else [])

"""A run is clean only when something was tested."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import reports


def test_a_run_that_sent_nothing_is_not_clean() -> None:
    """It listened: with -k, say, to probes that nobody in this chain could send."""
    run = reports.clean()
    listened = tuple(replace(sweep, shots=Counter()) for sweep in run.sweeps)
    assert replace(run, sweeps=listened).verdict == "clean"  # there are trials still
    assert replace(run, sweeps=listened, trials=()).verdict == "inconclusive"
    assert replace(run, trials=()).verdict == "clean"


def test_each_reason_to_doubt_is_enough() -> None:
    run = reports.clean()
    assert run.verdict == "clean"
    doubtful = (
        replace(run, doubts=("it ended early",)),
        replace(run, taps=run.taps[1:]),
        replace(run, taps=(replace(run.taps[0], canary=False), *run.taps[1:])),
        replace(run, taps=(replace(run.taps[0], drops=1), *run.taps[1:])),
        replace(run, trials=(replace(run.trials[0], doubts=("slow",)),)),
        replace(run, sweeps=(replace(run.sweeps[0], doubts=("deaf",)),)),
    )
    assert [one.verdict for one in doubtful] == ["inconclusive"] * len(doubtful)

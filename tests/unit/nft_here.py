"""nft in a fresh user and network namespace: nothing outside is touched."""

from __future__ import annotations

import subprocess


def nft(*steps: str) -> str:
    """What the last step prints; each is a text for `nft -f -` or, with a leading -, arguments."""
    script = 'for step; do case "$step" in -*) nft $step;; *) printf %s "$step" | nft -f -;; esac;'
    script += " done"
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    done = subprocess.run(
        [*unshare, "sh", "-ec", script, "sh", *steps], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listing(*texts: str) -> str:
    """All rules after these texts, without counters."""
    return nft(*texts, "-s list ruleset")

"""What a run was made with, as words for its report: versions, rules, who proved them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import sha256

import scapy

from netchain import __version__
from netchain.model.chain import Chain
from netchain.model.observed import Observed
from netchain.model.plan import Plan

_PROGRAMS = (("nft", "--version"), ("tor", "--version"), ("wireguard-go", "--version"))


def of(chain: Chain, observed: Observed, differs: Plan) -> Mapping[str, str]:
    """`differs` are the steps that would make the chain what its profile says."""
    system = os.uname()
    return {
        "backend": chain.backend,
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "versions": "; ".join([f"netchain {__version__}", f"scapy {scapy.__version__}",
                               *filter(None, (_version(*argv) for argv in _PROGRAMS))]),
        "rules": _rules(observed, differs),
    }  # fmt: skip


def _rules(observed: Observed, differs: Plan) -> str:
    """A digest of all rules that are loaded, and whether they are the profile's."""
    listed = "".join(f"{name} {have.rules}\n" for name, have in sorted(observed.qubes.items()))
    short = sha256(listed.encode()).hexdigest()[:32]
    if not differs:
        return f"those of the profile in all {len(observed.qubes)} qubes (sha256 {short})"
    steps = ", ".join(" ".join(str(step).split()) for step in differs[:5])
    return f"not as the profile has them (sha256 {short}); to mend: {steps}"


def _version(*argv: str) -> str:
    """The first line that the program says; "" when it is not here."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    return next(iter(done.stdout.splitlines()), "").rstrip(".")

"""A fault by itself, without a flood and without a judgement: for whoever wants to look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from leaktests.engine.ears import arm
from leaktests.engine.fault import Bench, Fault, NoEffectError
from leaktests.engine.shot import Markers
from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain
from netchain.site import Site

_STATE = "The chain is as the fault left it; netchain up mends it."


@contextmanager
def broken(fault: Fault, chain: Chain, site: Site) -> Iterator[None]:
    """A context in which it is broken. NetchainError when it cannot be broken or taken back."""
    if not fault.exists(chain):
        needs = ", ".join(sorted(fault.needs))
        raise NetchainError(Problem("E059", f"{fault.id} needs in the chain: {needs}"))
    arm(chain, site)
    try:
        with fault.broken(Bench(chain, site, Markers(time.time_ns()), None)):
            yield
    except (NoEffectError, OSError) as error:
        problem = Problem("E072", f"{fault.id} {fault.name}: {error}")
        raise NetchainError(problem, state=_STATE) from error

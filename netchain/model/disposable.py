"""Disposables: workstations beside those of the profile, named and numbered as in Qubes OS.

A disposable is no part of its chain's profile. Its number (1 to 9999, `dispid` in core-admin) makes
its name and its address: 10.137.64.0 and the number, behind all that a profile can use. (Qubes' own
10.138.0.0/16 would be a second range in every rule, docs/decisions/0007-disposables.md.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain, Qube, Role
from netchain.model.names import NUMBERS, QubeName
from netchain.model.plan import Attach, Create, Load, Plan, Step, Unblock, proof


@dataclass(frozen=True)
class Widen(Step):
    """Add to the netvm's sets, of a disposable below it, what it may send: nothing else changes."""

    client: QubeName

    @property
    def detail(self) -> str:
        return f"  admits {self.client}"


def name_of(number: int) -> QubeName:
    return QubeName(f"disp{number}")


def free(taken: Collection[str], choose: Callable[[Sequence[int]], int]) -> int:
    """One of the numbers whose names are not taken; NetchainError when all are."""
    left = [number for number in NUMBERS if name_of(number) not in taken]
    if not left:
        title = f"all {len(NUMBERS)} disposables of this lab were used"
        hint = "netchain lab down, and up again: none is used twice, so that nothing is shared"
        raise NetchainError(Problem("E055", title, help=hint))
    return choose(left)


def with_disposable(chain: Chain, template: Qube, number: int) -> Chain:
    """The chain with one more workstation, like the template."""
    fresh = replace(template, name=name_of(number), dispid=number)
    return replace(chain, qubes=(*chain.qubes, fresh))


def plan_disposable(chain: Chain, name: QubeName) -> Plan:
    """The steps that add it to its chain, which is up: closed until all is proved. What its netvm
    takes from it is told before there is a link."""
    qube = chain[name]
    assert qube.netvm is not None
    netvm = qube.netvm
    return (
        Create(name), Load(name, Role.WORKSTATION), Widen(netvm, name), Attach(name, netvm),
        proof(chain), Unblock(name),
    )  # fmt: skip

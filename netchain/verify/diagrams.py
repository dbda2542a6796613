"""Binary decision diagrams (OxiDD): the algebra that proves.

Equal functions are one node, so "never" is a comparison with false and a witness is a path to true.
There is one manager in a process: making one takes longer than a chain's proof. Its variables are
ordered as they are first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from oxidd.bdd import BDDFunction, BDDManager

_NODES, _CACHE = 1 << 22, 1 << 18


class Diagrams:
    """See algebra.Algebra. Raises oxidd's DDMemoryError when the diagrams grow too large."""

    def __init__(self) -> None:
        self._manager = BDDManager(_NODES, _CACHE, 1)
        self.true, self.false = self._manager.true(), self._manager.false()
        self._variables: dict[str, BDDFunction] = {}
        self._names: list[str] = []
        self.known: dict[tuple[tuple[BDDFunction, ...], int], BDDFunction] = {}
        for name in _first():
            self.variable(name)

    def variable(self, name: str) -> BDDFunction:
        found = self._variables.get(name)
        if found is None:
            (number,) = self._manager.add_vars(1)
            found = self._variables[name] = self._manager.var(number)
            self._names.append(name)
        return found

    def both(self, a: BDDFunction, b: BDDFunction) -> BDDFunction:
        return a & b

    def either(self, a: BDDFunction, b: BDDFunction) -> BDDFunction:
        return a | b

    def no(self, a: BDDFunction) -> BDDFunction:
        return ~a

    def choose(
        self, condition: BDDFunction, then: BDDFunction, otherwise: BDDFunction
    ) -> BDDFunction:
        return condition.ite(then, otherwise)

    def is_false(self, a: BDDFunction) -> bool:
        return not a.satisfiable()

    def witness(self, a: BDDFunction) -> Mapping[str, bool] | None:
        """Values of the variables that matter with which it is true; None when there are none."""
        cube = a.pick_cube()
        if cube is None:
            return None
        return {name: value for name, value in zip(self._names, cube, strict=False)
                if value is not None}  # fmt: skip


def _first() -> Iterator[str]:
    """What most rules ask first is on top: it keeps the diagrams small (measured: 5 qubes in a
    third of the time)."""
    for choice in ("reassembled", "whole6", "protocol6", "port is taken"):
        yield from (choice, f"first {choice}")
    for word, bits in (("iif", 10), ("oif", 10), ("first iif", 10), ("first oif", 10)):
        yield from (f"{word}.{n}" for n in range(bits))
    yield from ("ct1", "ct2", "ct reply", "ct snat", "ct dnat", "owned")
    for n in range(8):  # compared with each other: IPv6's next header and the protocol
        yield from (f"l4proto.{n}", f"nh{48 + n}", f"first l4proto.{n}", f"first nh{48 + n}")
        yield from (f"reassembled nexthdr.{n}", f"first reassembled nexthdr.{n}")
    yield from (f"nh{n}" for n in range(56, 80))
    yield from (f"length.{n}" for n in range(6))
    yield from (f"th{n}" for n in range(32))
    yield from (f"nh{n}" for n in range(80, 320))


@cache
def diagrams() -> Diagrams:
    """The process's own."""
    return Diagrams()

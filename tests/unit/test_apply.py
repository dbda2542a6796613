"""`up` fails closed on the backend in memory, whatever fails and wherever it does; `down` goes on.

Not covered: proof and programs, which need a kernel (tests/lab).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sites import site_of

from netchain import apply
from netchain.backends.fake import FakeBackend
from netchain.console import Console
from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.observed import Observed


class Failing(FakeBackend):
    """Opens what it is told to open until it comes to `last`; then it raises, and `block` of the
    qubes in `stuck` does, too."""

    def __init__(self, error: BaseException, last: str, stuck: str = "") -> None:
        super().__init__()
        self.error, self.last, self.stuck = error, last, stuck
        self.failed = False

    def unblock(self, chain: Chain, qube: QubeName) -> None:
        if qube == self.last:
            self.failed = True
            raise self.error
        super().unblock(chain, qube)

    def block(self, chain: Chain, qube: QubeName) -> None:
        if self.failed and qube == self.stuck:
            raise OSError("it does not answer")
        super().block(chain, qube)


@pytest.fixture
def chain(shipped: Callable[[str], Chain]) -> Chain:
    return shipped("vpn-only")


@pytest.mark.parametrize(
    "error", [NetchainError(Problem("E052", "no")), OSError("no"), KeyboardInterrupt()]
)
def test_whatever_fails_everything_touched_is_closed(
    error: BaseException, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Failing(error, "sys-proxyvm")
    with site_of(backend, chain, monkeypatch) as site:
        with pytest.raises(type(error)) as raised:
            apply.up(chain, site)
        qubes = backend.observe(chain).qubes
    assert set(qubes) == {qube.name for qube in chain.qubes}
    assert all(have.blocked for have in qubes.values())
    if isinstance(raised.value, NetchainError):
        assert "left closed" in raised.value.state


def test_a_qube_that_cannot_be_closed_keeps_no_other_from_it(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Failing(OSError("no"), "sys-proxyvm", stuck="sys-net")
    told: list[str] = []
    with site_of(backend, chain, monkeypatch) as site:
        site.say = told.append
        with pytest.raises(OSError, match="no"):
            apply.up(chain, site)
        qubes = backend.observe(chain).qubes
    assert {name for name, have in qubes.items() if not have.blocked} == {"sys-net"}
    assert "could not block sys-net: it does not answer" in told


class Lost(Failing):
    """Closes the qube that is stuck, but the answer is lost; `blind`: nobody can look, either."""

    def __init__(self, *, blind: bool) -> None:
        super().__init__(NetchainError(Problem("E052", "no")), "sys-proxyvm")
        self.blind = blind

    def block(self, chain: Chain, qube: QubeName) -> None:
        super().block(chain, qube)
        if self.failed and qube == "sys-net":
            raise OSError("the answer is lost")

    def observe(self, chain: Chain) -> Observed:
        if self.failed and self.blind:
            raise OSError("nobody answers")
        return super().observe(chain)


def state_after(backend: Failing, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the error of an `up` that fails says of the chain."""
    with site_of(backend, chain, monkeypatch) as site:
        with pytest.raises(NetchainError) as raised:
            apply.up(chain, site)
        backend.failed = False
    return raised.value.state


def test_what_could_not_be_closed_is_named_with_the_way_out(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Failing(NetchainError(Problem("E052", "no")), "sys-proxyvm", stuck="sys-net")
    state = state_after(backend, chain, monkeypatch)
    assert state == "NOT CLOSED: sys-net. Run: netchain down vpn-only"


def test_whether_a_qube_is_closed_is_looked_up(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not taken from whether closing it failed; who cannot be looked at counts as open."""
    assert "left closed" in state_after(Lost(blind=False), chain, monkeypatch)
    assert "NOT CLOSED: sys-net." in state_after(Lost(blind=True), chain, monkeypatch)


class Holding(FakeBackend):
    """Refuses to close one qube and to remove another."""

    def __init__(self, open_: str, kept: str) -> None:
        super().__init__()
        self.open, self.kept = open_, kept

    def block(self, chain: Chain, qube: QubeName) -> None:
        if qube == self.open:
            raise NetchainError(Problem("E052", f"cannot close {qube}"))
        super().block(chain, qube)

    def remove(self, chain: Chain, qube: QubeName) -> None:
        if qube == self.kept:
            raise NetchainError(Problem("E052", f"cannot remove {qube}"))
        super().remove(chain, qube)


def test_down_goes_on_past_what_fails_and_names_what_is_left(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Holding("work", "sys-firewall")
    with site_of(backend, chain, monkeypatch) as site:
        for qube in chain.qubes:
            backend.create(chain, qube.name)
            backend.unblock(chain, qube.name)
        with pytest.raises(NetchainError) as raised:
            apply.down(chain, site)
        left = backend.observe(chain).qubes
        backend.kept = ""
    assert set(left) == {"sys-firewall"} and left[QubeName("sys-firewall")].blocked
    titles = [problem.title for problem in raised.value.problems]
    assert titles == ["cannot close work", "cannot remove sys-firewall"]
    assert raised.value.state == "These are still there: sys-firewall. Run it again."


def test_down_is_done_when_nothing_is_left_whatever_failed(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Holding("work", "")
    with site_of(backend, chain, monkeypatch) as site:
        backend.create(chain, QubeName("work"))
        backend.unblock(chain, QubeName("work"))
        assert len(apply.down(chain, site)) == 2
        assert backend.observe(chain).qubes == {}


def test_progress_that_nobody_reads_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            """Nothing."""

    monkeypatch.setattr("sys.stderr", Closed())
    console = Console()
    for _ in range(2):
        console.say("one step more")

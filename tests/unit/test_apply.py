"""`up` fails closed on the backend in memory, whatever fails and wherever it does.

Not covered: proof and programs, which need a kernel (tests/lab).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from netchain import apply
from netchain.backends.fake import FakeBackend
from netchain.console import Console
from netchain.errors import NetchainError, Problem
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.prove import Sensor
from netchain.site import Site
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


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


@contextmanager
def site_of(backend: FakeBackend, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Without taps: no packet socket can be had of a wire in memory."""
    vpn = chain[QubeName("sys-proxyvm")].vpn
    assert vpn is not None and vpn.settings is not None
    monkeypatch.setattr(Sensor, "arm", lambda *_: None)
    vpns = {QubeName("sys-proxyvm"): WireGuard(vpn.settings, Secret(KEY), KEY)}
    with Sensor(backend) as sensor:
        yield Site(backend, sensor, vpns)
    for name in backend.observe(chain).qubes:
        backend.remove(chain, name)  # closes its wires


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

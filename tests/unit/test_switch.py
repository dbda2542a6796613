"""A switch fails closed on the backend in memory, whatever fails and wherever it does.

Not covered: proof, packets and programs, which need a kernel (tests/lab/test_netvm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sites import KEY

from netchain import apply, proofs, switch
from netchain.backends.base import Completed
from netchain.backends.fake import FakeBackend
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.allowed import Direction
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.model.switch import Switch
from netchain.prove import Sensor, Verdict
from netchain.site import Site
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard
from netchain.wire.flow import Flow
from netchain.wire.judge import Leak, LinkVerdict

WHONIX, A, B = map(QubeName, ("sys-whonix", "sys-vpn-a", "sys-vpn-b"))
CLEAN = Verdict((), ())
LEAK = Verdict(
    (LinkVerdict("isp", 1, (Leak("isp", 1, Direction.UP, Flow(0, problem="odd"), b""),)),), ()
)


class Backend(FakeBackend):
    """Fails once at the operation that is named, when it is armed."""

    def __init__(self) -> None:
        super().__init__({"sh": fine, "ss": fine})
        self.at, self.error = "", BaseException()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("_") and name == super().__getattribute__("at"):
            self.at = ""
            raise self.error
        return found


def fine(_: Sequence[str], __: bytes) -> Completed:
    return Completed(0, b"", b"")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def site(
    backend: Backend, shipped: Callable[[str], Chain], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """The chain is up; every proof is clean and every program ready at once."""
    for module in (apply, switch):
        monkeypatch.setattr(module, "prove", lambda *_: CLEAN)
    monkeypatch.setattr(proofs, "require", lambda _: None)
    monkeypatch.setattr(apply, "wait_ready", lambda *_: None)
    monkeypatch.setattr(Sensor, "arm", lambda *_: None)
    monkeypatch.setattr(Sensor, "verdict", lambda *_: CLEAN)
    chain = shipped("two-providers")
    vpns = {}
    for qube in chain.with_role(Role.VPN_PROXY):
        assert qube.vpn is not None and qube.vpn.settings is not None
        vpns[qube.name] = WireGuard(qube.vpn.settings, Secret(KEY), KEY)
    with Sensor(backend) as sensor:
        made = Site(backend, sensor, vpns)
        apply.up(chain, made)
        yield made
    for name in backend.observe(chain).qubes:
        backend.remove(chain, name)  # closes its wires


@pytest.fixture
def meant(shipped: Callable[[str], Chain]) -> Switch:
    chain = shipped("two-providers")
    return Switch(chain, chain.with_netvm(WHONIX, B), WHONIX)


def closed(backend: Backend, chain: Chain) -> set[str]:
    return {name for name, have in backend.observe(chain).qubes.items() if have.blocked}


def test_a_switch_is_remembered_before_the_cut_and_leaves_nothing_to_do(
    backend: Backend, site: Site, meant: Switch
) -> None:
    links: list[Any] = []
    look = lambda: links.append(backend.observe(meant.old).qubes[WHONIX].link)  # noqa: E731
    done = switch.run(meant, site, look)
    assert links == [A]
    assert (done.before, done.after, done.wrong) == (A, B, 0)
    assert apply.plan(meant.new, site) == ()
    assert closed(backend, meant.new) == set()


@pytest.mark.parametrize(
    "at", ["load_rules", "prepare", "list_rules", "cut_over", "forget_flows", "retire", "execute"]
)
@pytest.mark.parametrize(
    "error", [NetchainError(Problem("E052", "no")), OSError("no"), KeyboardInterrupt()]
)
def test_whatever_fails_all_that_was_meant_is_closed(
    backend: Backend, site: Site, meant: Switch, at: str, error: BaseException
) -> None:
    remembered: list[bool] = []
    backend.at, backend.error = at, error
    with pytest.raises(type(error)) as raised:
        switch.run(meant, site, lambda: remembered.append(True))
    assert closed(backend, meant.new) >= {WHONIX, "anon-whonix", A, B}
    assert bool(remembered) is (at in ("cut_over", "forget_flows", "retire", "execute"))
    if isinstance(raised.value, NetchainError):
        assert "left closed" in raised.value.state
    apply.up(meant.new if remembered else meant.old, site)
    assert closed(backend, meant.new) == set()


def test_a_packet_on_a_wrong_wire_closes_whenever_it_is_seen(
    backend: Backend, site: Site, meant: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the very end, while tor was waited for."""
    verdicts = iter([CLEAN, LEAK])
    monkeypatch.setattr(Sensor, "verdict", lambda *_: next(verdicts))
    with pytest.raises(NetchainError) as raised:
        switch.run(meant, site, lambda: None)
    assert raised.value.exit_code is Exit.LEAK and "left closed" in raised.value.state
    assert closed(backend, meant.new) >= {WHONIX, "anon-whonix"}


def test_a_program_that_is_late_leaves_the_chain_as_it_is_proved(
    backend: Backend, site: Site, meant: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object) -> None:
        raise NetchainError(Problem("E061", "late"), Exit.NOT_READY)

    monkeypatch.setattr(apply, "wait_ready", late)
    with pytest.raises(NetchainError) as raised:
        switch.run(meant, site, lambda: None)
    assert raised.value.exit_code is Exit.NOT_READY and "proved closed" in raised.value.state
    assert closed(backend, meant.new) == set()

"""A chain ends under a flood: it is shut down, in any order, or what holds it is killed.

Every link is heard by this process meanwhile, which keeps the networks of qubes alive that would go
otherwise: the worst case. Not covered: the kernel's own choice when memory runs out (it kills with
SIGKILL, as here), and a flood during the `up` that follows.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from commands import CHAIN, Netchain, until
from machine import alive
from test_leaktest_probes import attached

from leaktests.engine import flood
from leaktests.engine.ears import arm
from leaktests.engine.flood import Flood
from leaktests.engine.shot import Markers
from netchain import apply, prove
from netchain.errors import NetchainError
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Chain
from netchain.site import Site
from netchain.wire.judge import judge

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
Running = tuple[Chain, Site]


@pytest.fixture
def running(netchain: Netchain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    assert netchain("lab", "up").returncode == 0
    done = netchain("up")
    assert done.returncode == 0, done.stderr
    with attached(netchain, CHAIN, monkeypatch) as found:
        yield found
    netchain("down")


@contextmanager
def flooded(running: Running, id_: str) -> Iterator[Flood]:
    """Flood the chain; at the end all that its links carried must be clean."""
    chain, site = running
    shots = flood.frames(chain, id_, "the chain ends", Markers(time.time_ns()))
    assert arm(chain, site) == []
    with Flood(site.sensor, shots) as sender:
        assert sender.wait(2 * sender.round, 60)
        yield sender
    assert sender.failed is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prove, "_CANARY_S", 1.0)  # links that are gone hear none
        site.sensor.settle()
        site.sensor.settle()
    assert not any(site.sensor.tap.drops().values()) and site.sensor.tap.failed is None
    frames, injected = site.sensor.take()
    leaks = [leak for one in judge(chain, site.timeline, frames, injected) for leak in one.leaks]
    assert sorted({str(leak) for leak in leaks}) == []
    ours = {shot.frame for shot in shots}
    heard = sum(seen.frame in ours for found in frames.values() for seen in found)
    assert heard > 1.5 * sender.round


def by_plan(chain: Chain, site: Site, _: Netchain) -> None:
    apply.down(chain, site)


def by_another_command(_: Chain, __: Site, netchain: Netchain) -> None:
    """Whose links are heard all the while."""
    done = netchain("down")
    assert done.returncode == 0, done.stderr


def from_the_uplink(chain: Chain, site: Site, _: Netchain) -> None:
    """The wrong way round, and none is closed before."""
    for qube in chain.from_uplink():
        for link in (*links(chain), *tunnels(chain)):
            if qube.name in (link.client, link.netvm):
                site.sensor.disarm(link)
        site.backend.remove(chain, qube.name)


@pytest.mark.parametrize("ends", [by_plan, by_another_command, from_the_uplink])
def test_nothing_leaks_while_the_chain_is_taken_down(
    running: Running, netchain: Netchain, ends: Callable[[Chain, Site, Netchain], None]
) -> None:
    chain, site = running
    with flooded(running, "V21"):
        ends(chain, site, netchain)
        assert site.backend.observe(chain).qubes == {}


def rule_loader(netchain: Netchain) -> int:
    return netchain.rule_loader()


def firewall(netchain: Netchain) -> int:
    return netchain.holder(f"{CHAIN}:sys-firewall")


def vpn(netchain: Netchain) -> int:
    return netchain.holder(f"{CHAIN}:sys-proxyvm")


def keeper(netchain: Netchain) -> int:
    return netchain.keeper()


@pytest.mark.parametrize("victim", [rule_loader, firewall, vpn, keeper])
def test_nothing_leaks_when_what_holds_the_chain_is_killed(
    running: Running, netchain: Netchain, victim: Callable[[Netchain], int]
) -> None:
    """The flood goes on over what is left: links and rules, as long as they are heard."""
    pid = victim(netchain)
    assert pid
    with flooded(running, "W11") as sender:
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: not alive({pid}), 20)
        assert sender.wait(5 * sender.round, 60)
    if victim is keeper:
        with pytest.raises(NetchainError):
            running[1].backend.observe(running[0])

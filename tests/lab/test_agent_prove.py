"""The proof of a whole chain, heard by agents only: one in each qube, through the backend's own way
to start a program there. What the sockets of one process find, the agents find.

Not covered: qubes that are machines of their own, and programs (as in test_prove.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from netchain.backends.base import User
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import Spawned
from netchain.demo.control import OPEN_RULES
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, UPLINK, address4
from netchain.model.allowed import Direction, Link, links
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.prove import Sensor, Verdict, prove
from netchain.wire import build
from netchain.wire.remote_agent import Agent, program
from netchain.wire.remote_tap import RemoteEnd, RemoteTap
from netchain.wire.timeline import Timeline

pytestmark = pytest.mark.lab
PROXY, FIREWALL = QubeName("sys-proxyvm"), QubeName("sys-firewall")
BEFORE = Link(PROXY, FIREWALL)


class AgentsBackend:
    """The ends of links as agents know them; everything else as the real backend does it."""

    def __init__(self, backend: NetnsBackend, running: ExitStack) -> None:
        self._backend, self._running = backend, running
        self.agents: dict[str, tuple[Agent, Spawned]] = {}

    def taps(self, chain: Chain, wanted: Sequence[Link]) -> dict[str, RemoteEnd]:
        return {link.name: self._end(*self._backend._netvm_end(chain, link)) for link in wanted}

    def injector(self, chain: Chain, link: Link, direction: Direction) -> RemoteEnd:
        if direction is Direction.UP and not link.tunnel:
            return self._end(f"{chain.name}:{link.client}", UPLINK)
        return self._end(*self._backend._netvm_end(chain, link))

    def _end(self, node: str, interface: str) -> RemoteEnd:
        if node not in self.agents:
            self.agents[node] = self._start(node)
        return RemoteEnd(self.agents[node][0], interface)

    def _start(self, node: str) -> tuple[Agent, Spawned]:
        argv, source = program()
        (read, commands), (output, write) = os.pipe(), os.pipe()
        spawned = self._backend.keeper.spawn(node, argv, (read, write, 2), user=User.ROOT)
        self._running.enter_context(spawned)
        os.close(read)
        os.close(write)
        return Agent(open(output, "rb", 0), open(commands, "wb", 0), source), spawned  # noqa: PTH123


@contextmanager
def agents(backend: NetnsBackend) -> Iterator[tuple[Any, Sensor]]:
    with ExitStack() as running:
        remote: Any = AgentsBackend(backend, running)
        with Sensor(remote, RemoteTap()) as sensor:
            yield remote, sensor
        for heard, spawned in remote.agents.values():
            assert heard.failed or spawned.wait(20) == 0


def leaking(verdict: Verdict) -> set[str]:
    return {leak.link for leak in verdict.leaks}


def test_agents_prove_a_closed_chain_and_find_the_leak_of_an_opened_one(
    chain: Chain, backend: NetnsBackend, timeline: Timeline
) -> None:
    with agents(backend) as (remote, sensor):
        verdict = prove(chain, sensor, timeline)
        assert (verdict.leaks, verdict.doubts) == ((), ())
        assert [found.link for found in verdict.links] == [link.name for link in links(chain)]
        assert all(found.frames > 20 for found in verdict.links if found.link != "isp")
        assert len(remote.agents) == len(chain.qubes) + 1  # and the router's
        backend.load_rules(chain, PROXY, OPEN_RULES)
        via = str(address4(chain, FIREWALL))
        route = ["ip", "route", "replace", "default", "via", via, "dev", UPLINK, "onlink"]
        assert backend.execute(chain, PROXY, [*route, "metric", "1"]).status == 0
        assert BEFORE.name in leaking(prove(chain, sensor, timeline))
        assert sensor.tap.failed is None


def test_a_link_that_is_heard_by_an_agent_is_disarmed_and_armed_again(
    chain: Chain, backend: NetnsBackend, timeline: Timeline
) -> None:
    with agents(backend) as (_, sensor):
        for link in links(chain):
            sensor.arm(chain, link)
            sensor.arm_down(chain, link)
        down = build.ping(address4(chain, FIREWALL), address4(chain, PROXY), b"down")
        sensor.inject(
            BEFORE.name, build.ethernet(NETVM_MAC, CLIENT_MAC, 0x0800, down), Direction.DOWN
        )
        assert sensor.settle() == []
        sensor.disarm(BEFORE)
        backend.detach(chain, PROXY)
        doubts = sensor.verdict(chain, timeline).doubts
        assert doubts == (f"nobody listens on {BEFORE.name}",)
        backend.attach(chain, PROXY)
        sensor.arm(chain, BEFORE)
        assert sensor.settle() == [] and sensor.verdict(chain, timeline).doubts == ()


def test_a_chain_of_which_an_agent_was_killed_is_not_clean(
    chain: Chain, backend: NetnsBackend, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agents(backend) as (remote, sensor):
        assert prove(chain, sensor, timeline).doubts == ()
        _, spawned = remote.agents[f"{chain.name}:{FIREWALL}"]
        spawned.__exit__()
        monkeypatch.setattr("netchain.prove._CANARY_S", 1.0)  # nobody is there to hear it
        doubts = prove(chain, sensor, timeline).doubts
        assert f"the tap on {BEFORE.name} did not hear its canary" in doubts
        assert f"the tap on {BEFORE.name} is deaf: its agent failed: it ended" in doubts
        assert "the tap failed: an agent failed: it ended" in doubts

"""Switches of one client between two VPN qubes under a stream of packets, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from leaktests.engine.stream import Stream, lost
from netchain import switch
from netchain.model.allowed import Link, links, tunnels
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.model.switch import Switch
from netchain.receipt import Receipt
from netchain.site import Site

Attached = Callable[[], AbstractContextManager[tuple[Chain, Site]]]
"""Gives the chain as its profile says, and its site with a sensor that has heard nothing yet."""
CLIENT = QubeName("work")
BOTH = (QubeName("vpn-a"), QubeName("vpn-b"))
_WAIT_S = 10.0
_MORE = 50


def profile() -> str:
    """A chain with two VPN qubes side by side, and a workstation below the first."""
    qubes = [
        'name = "sys-net"\nrole = "net"',
        'name = "sys-firewall"\nrole = "firewall"\nnetvm = "sys-net"',
        *(
            f'name = "vpn-{x}"\nrole = "vpn-proxy"\nnetvm = "sys-firewall"\n'
            f'vpn = {{ config = "lab:provider-{x}" }}'
            for x in "ab"
        ),
        'name = "work"\nrole = "workstation"\nnetvm = "vpn-a"',
    ]
    tables = "".join(f'[[qube]]\n{qube}\nlabel = "red"\n\n' for qube in qubes)
    return f'schema = 1\nname = "switching"\n\n{tables}'


@dataclass(frozen=True)
class Done:
    """One switch: packets on a wrong wire, packets lost, ms of the cut, packets of the stream."""

    wrong: int
    lost: int
    cut_ms: float
    heard: int


def switches(attached: Attached, rate: int, count: int) -> Iterator[Done]:
    """So many switches to and fro of a chain of that shape, each proved before and after."""
    for number in range(count):
        before, after = BOTH[number % 2], BOTH[(number + 1) % 2]
        with attached() as (chain, site):
            old, new = (chain.with_netvm(CLIENT, netvm) for netvm in (before, after))
            yield _one(Switch(old, new, CLIENT), site, rate)


def _one(meant: Switch, site: Site, rate: int) -> Done:
    keeper = site.backend.keeper  # type: ignore[attr-defined]
    with Stream(keeper, f"{meant.old.name}:{CLIENT}", rate) as stream:
        for link in (*links(meant.old), *tunnels(meant.old)):
            site.sensor.arm(meant.old, link)
        _await(site, stream, str(meant.before))
        done = switch.run(meant, site, lambda: None)
        _await(site, stream, str(meant.after))
    site.sensor.settle()
    return _counted(meant, site, stream, done)


def _tunnel(qube: str) -> str:
    return Link(QubeName(qube), None, tunnel=True).name


def _await(site: Site, stream: Stream, vpn: str) -> None:
    """Until more of the stream has gone through that VPN."""
    deadline = time.monotonic() + _WAIT_S
    while len(stream.numbers(site.sensor.tap.frames(_tunnel(vpn)))) < _MORE:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the stream does not pass {vpn}")
        time.sleep(0.002)  # a bounded poll


def _counted(meant: Switch, site: Site, stream: Stream, done: Receipt) -> Done:
    """Wrong is what was not allowed, and every packet of the stream on the old way after the cut or
    on the new one before it."""
    assert meant.before is not None and meant.after is not None and done.cut_ms is not None
    frames = site.sensor.tap.frames
    old, new = (stream.numbers(frames(_tunnel(vpn))) for vpn in (meant.before, meant.after))
    verdict = site.sensor.verdict(meant.new, site.timeline)
    assert not verdict.doubts, verdict.doubts
    wrong = len(verdict.leaks)
    start, end = site.timeline.last_switch
    for vpn, is_old in ((meant.before, True), (meant.after, False)):
        for name in (Link(CLIENT, vpn).name, _tunnel(vpn)):
            times = [at for _, at in stream.numbers(frames(name))]
            wrong += sum(1 for at in times if (at > end if is_old else at < start))
    passed = [number for number, _ in (*old, *new)]
    return Done(wrong, lost(passed), done.cut_ms, len(passed))

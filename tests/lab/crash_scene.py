"""A chain under a flood from every qube, heard on every link, whatever is killed meanwhile.

Sockets of this process hold the namespaces of qubes that are removed, and of a whole site whose
keeper is dead: the worst case, for what a namespace forwards goes on then.

How states are told: each request passes the proxy, which notes when it was handed on and when the
keeper answered, also to a client that is dead by then. A qube counts as open from the request that
opens it to the answer that closes it, as `Timeline` has it. An opening without an answer (the
keeper died over it) counts as none from then on. After each blow the kernel is asked which qubes
are closed, and one that is open although nothing opened it fails the trial.

What a netvm sends down a link whose client's end was set down (`down` does) is left out: the tap at
the netvm's end hears it until the kernel has seen that nobody is there, and it arrives nowhere.

Not covered: packets that sys-net itself sends past its own rules (nothing may hold them: it has the
uplink), links in the moments between their making and their first hearing (the request is answered
only when they are heard).
"""

from __future__ import annotations

import bisect
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from ambient import foreign
from commands import Netchain, until
from crash_flood import Stacks, await_tried, frames
from crash_proxy import Message, Proxy
from crash_watch import Run, changed, write_frames
from machine import alive, descendants

from leaktests.engine.flood import Flood
from leaktests.engine.shot import Markers
from netchain import apply, switched
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.commands import common
from netchain.console import Console
from netchain.errors import NetchainError
from netchain.lab.internet import ROUTER
from netchain.lab.lab import SITE
from netchain.model.addressing import CLIENT_MAC, NETVM_MAC, UPLINKS
from netchain.model.allowed import OPEN, Direction, Link, links, tunnels
from netchain.model.chain import Chain, QubeState
from netchain.model.names import QubeName
from netchain.site import Site
from netchain.wire import build
from netchain.wire.capture import Captured
from netchain.wire.judge import Leak, judge
from netchain.wire.timeline import Timeline

_WAIT_S = 30.0
NO_LINK = "no link is there that a flood could come over"


class Either(Timeline):
    """Whichever of two chains it is: a packet is outside only if it is so of both. (That none goes
    by the other way is for test_switch_flood.py, where it is known when the cut was.)"""

    def __init__(self, other: Chain) -> None:
        super().__init__()
        self._other = other

    @property
    def earlier(self) -> tuple[Chain, ...]:
        return (self._other,)

    def chains(self, time_ns: int, direction: Direction, now: Chain) -> tuple[Chain, ...]:  # noqa: ARG002
        return (now, self._other)


class Scene:
    """The chain `target`, which is up; `hold` it in a context. `other` is what a switch makes of
    it."""

    def __init__(
        self, netchain: Netchain, target: str, chain: Chain, site: Site, other: Chain | None = None
    ) -> None:
        self.netchain, self.target, self.chain, self.site = netchain, target, chain, site
        self.chains = (chain,) if other is None else (chain, other)
        if other is not None:
            site.timeline = Either(other)
        self._hearing = KeeperClient(SITE)  # the hooks' own: they run in other threads
        site.sensor.backend = NetnsBackend(self._hearing, ROUTER)
        present = {link.name: link for link in (*links(chain), *tunnels(chain))}
        self._every = {
            link.name: link for one in self.chains for link in (*links(one), *tunnels(one))
        }
        markers = Markers(time.time_ns())
        self._shots = frames(chain, markers)
        if other is not None:
            more = frames(other, markers)
            self._shots += [shot for shot in more if shot.place.link.name not in present]
        self.known: dict[str, set[bytes]] = {name: set() for name in self._every}
        for shot in self._shots:
            self.known[shot.place.link.name].add(shot.frame)
        self.frames = netchain.state / "crash.frames"
        write_frames(self.frames, self.known)
        self._asked: dict[int, int] = {}
        self._answered: list[int] = []
        self._down: dict[str, list[range]] = {name: [] for name in self._every}
        """When the client's end of a link was set down (ns)."""
        self._noting = Lock()
        self.run: Run | None = None
        self.effects: dict[str, list[str]] = {}
        """Of each verb that was run to its end."""
        now = time.time_ns()
        site.timeline.change(now, now, {qube.name: QubeState.READY for qube in chain.qubes})
        for link in present.values():
            site.sensor.arm(chain, link)
        self.stacks = Stacks(self._hearing, chain)
        for qube in chain.qubes:
            self.stacks.add(qube.name)
        self._proxy = Proxy(site.sensor.backend.keeper.directory, self)

    def close(self) -> None:
        self.stacks.close()
        self._proxy.close()
        self._hearing.close()

    @contextmanager
    def flooded(self) -> Iterator[Flood]:
        with Flood(self.site.sensor, self._shots) as flood:
            self.flood = flood
            yield flood

    def start(self, run: Run) -> Run:
        """Start a command whose requests are watched."""
        self.run = run
        run.begin(self.netchain.environment, self.frames)
        return run

    def words(self, *words: str) -> tuple[str, ...]:
        """With the chain's name in the place of CHAIN."""
        return tuple(word.replace("CHAIN", self.target) for word in words)

    def command(self, *words: str) -> Run:
        """Run a command to its end; its exit code must be 0 or AssertionError says what it said."""
        run = self.start(Run(self.words(*words), self.netchain.state / "said"))
        status = run.wait()
        assert status == 0, run.said.read_text()
        return run

    def kill_keeper(self) -> None:
        """SIGKILL to the site's PID 1; the kernel ends all the rest."""
        pids = descendants(self.netchain.keeper())
        os.kill(self.netchain.keeper(), signal.SIGKILL)
        assert until(lambda: not alive(pids), _WAIT_S)
        self._proxy.close(keeper_lives=False)

    def before(self, message: Message) -> Message:
        if self.run is not None and self.run.lives:
            message = self.run.before(message)
        self._asked[id(message)] = time.time_ns()
        return message

    def asked(self, message: Message) -> None:
        if self.run is not None and self.run.lives:
            self.run.asked(message)

    def after(self, message: Message, answer: Message | None) -> None:
        """Note what became of the chain, and hear what is new before anybody goes on."""
        since = self._asked.pop(id(message))
        states = changed(message, self.chain.name)
        with self._noting:
            before = {name: self.site.timeline.now[name] for name in states}
            if states:
                self._answered.append(time.time_ns())
                self.site.timeline.change(since, self._answered[-1], states)
            if states and (answer is None or "error" in answer):
                now = time.time_ns()
                self.site.timeline.change(now, now, before)
        if answer is not None and "error" not in answer:
            if message["do"] == "end":
                since_now = range(time.time_ns(), sys.maxsize)
                for name, link in self._every.items():
                    self._down[name] += [since_now] if link.client in states else []
            self._hear(message)

    def _hear(self, message: Message) -> None:
        nodes = [message.get("node", ""), *(end["node"] for end in message.get("ends", ()))]
        if not any(str(node).startswith(f"{self.chain.name}:") for node in nodes):
            return  # of another chain
        match message["do"]:
            case "create":
                self.stacks.add(message["node"].partition(":")[2])
            case "wire":
                ends = message["ends"]
                client = next(e["node"] for e in ends if e["name"] in UPLINKS)
                far = next(e["node"] for e in ends if e["node"] != client)
                netvm = None if far == ROUTER else QubeName(far.partition(":")[2])
                self._arm(Link(QubeName(client.partition(":")[2]), netvm))
            case "tunnel":
                self._arm(Link(QubeName(message["node"].partition(":")[2]), None, tunnel=True))

    def _arm(self, link: Link) -> None:
        """Hear the new link of that name; the one before is gone, and let go now."""
        self.site.sensor.disarm(link)
        self.site.sensor.arm(self.chain, link)
        now = time.time_ns()
        self._down[link.name] = [range(d.start, min(d.stop, now)) for d in self._down[link.name]]

    def opened(self) -> list[str]:
        """Qubes that are open although nothing opened them; what is closed is noted as such."""
        seen = self.site.backend.observe(self.chain).qubes
        with self._noting:
            now = self.site.timeline.now
            closed = {name: QubeState.BLOCKED for name in now
                      if name not in seen or seen[name].blocked}  # fmt: skip
            moment = time.time_ns()
            self.site.timeline.change(moment, moment, closed)
        return [n for n, have in seen.items() if not have.blocked and now[n] not in OPEN]

    def heard_after(self) -> tuple[int, list[str]]:
        """Let the flood go on: how many of its packets were heard on their own links from now on,
        and why this is no proof, if it is none."""
        sensor, tap = self.site.sensor, self.site.sensor.tap
        mark, tried = tap.mark(), self.stacks.tried()
        alive = [name for name in self._every if name not in tap.dead and self._carries(name)]
        flooded = [name for name in alive if self.known[name]]
        if not flooded:
            return 0, [NO_LINK]
        doubts = [] if self.flood.wait(2 * self.flood.round, _WAIT_S) else ["the flood stopped"]
        missing = [f"nothing of the flood was heard on {n}" for n in flooded if not any(
            one.frame in self.known[n] for one in tap.frames(n, mark))]  # fmt: skip
        if tried and not await_tried(self.stacks, _WAIT_S):
            doubts.append("a qube's own stack sends nothing")
        deaf = set(sensor.deaf()) & set(alive) - set(tap.dead)
        doubts += missing + [f"the tap on {name} did not hear its canary" for name in sorted(deaf)]
        count = sum(one.frame in self.known[n] for n in flooded for one in tap.frames(n, mark))
        return count, doubts

    def _carries(self, name: str) -> bool:
        """Whether the client's end of the link is there and up: it takes a frame."""
        token = secrets.token_bytes(16)
        canary = build.canary(CLIENT_MAC, NETVM_MAC, token)
        try:
            self.site.sensor.inject(
                name, build.tunnel_canary(token) if self._every[name].tunnel else canary
            )
        except (OSError, KeyError):
            return False
        return True

    def judged(self) -> tuple[list[str], list[str]]:
        """All that was heard so far outside `allowed()`, and what keeps the rest from a proof."""
        sensor = self.site.sensor
        sensor.settle()
        sensor.settle()
        heard, injected = sensor.take()
        there = {n: self._every[n] for n in heard}
        arrived = {
            n: [one for one in found if not self._is_lost(one)] for n, found in heard.items()
        }
        ours = {n: {*injected.get(n, ()), *self.known[n]} for n in heard}
        rest = {n: foreign(self._has(there[n]), there[n], found) for n, found in arrived.items()}
        verdicts = judge(self.chain, self.site.timeline, rest, ours)
        doubts = [f"{n} frames of {link} were lost" for link, n in sensor.tap.drops().items() if n]
        doubts += [f"the tap failed: {sensor.tap.failed}"] if sensor.tap.failed else []
        doubts += ["the clock was set"] if sensor.clock_was_set() else []
        doubts += [f"the flood failed: {self.flood.failed}"] if self.flood.failed else []
        self.stacks.forget_old()
        return [self._told(leak) for verdict in verdicts for leak in verdict.leaks], doubts

    def _is_lost(self, one: Captured) -> bool:
        return one.outgoing and any(one.time_ns in down for down in self._down[one.link])

    def _told(self, leak: Leak) -> str:
        """With how long it came after a state changed: one that was let go before a qube closed may
        still be on its way then, for as long as its processor was taken away from it."""
        before = self._answered[: bisect.bisect(self._answered, leak.time_ns)]
        after = f"{(leak.time_ns - before[-1]) / 1e6:.2f} ms" if before else "not"
        return f"{leak} ({after} after a state changed)"

    def differs(self) -> list[str]:
        """What `up` would change: of the chain as it is switched, when that is what is tried."""
        chain = self.chain
        if len(self.chains) > 1:
            for name, given in switched.load(chain.name).netvms.items():
                chain = chain.with_netvm(name, given.netvm)
        return [str(step) for step in apply.plan(chain, self.site)]

    def _has(self, link: Link) -> Chain:
        return next(one for one in self.chains if link in (*links(one), *tunnels(one)))


@contextmanager
def scene(
    netchain: Netchain, target: str, switch: tuple[str, str] | None = None
) -> Iterator[Scene]:
    """The chain brought up and flooded from within; it stays as the trials leave it. `switch` is a
    qube and the netvm that it is switched to."""
    done = netchain("up", target)
    assert done.returncode == 0, done.stderr
    with common.site(common.find(target), Console(quiet=True)) as (chain, site):
        other = chain.with_netvm(switch[0], QubeName(switch[1])) if switch else None
        found = Scene(netchain, target, chain, site, other)
        try:
            yield found
        finally:
            with suppress(NetchainError):
                found.close()

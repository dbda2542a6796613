"""A tap whose sockets are inside other machines: agents there hear and send for it.

    agent           what runs in the qube, and the protocol
    agent_records   reads what an agent sends, and believes none of it
    agent_line      the two streams, the reader's thread, questions and answers
    remote_agent    one agent: its ears and mouths
    remote_tap      many agents, used like a `Tap`

What a question costs here is a way to the qube and back, for each agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from netchain.wire.capture import Captured, Store
from netchain.wire.hearing import Hearing
from netchain.wire.remote_agent import Agent, Ear


class RemoteEnd(NamedTuple):
    """One end of a link: an interface of the qube where the agent runs."""

    agent: Agent
    interface: str


class RemoteInjectors:
    """Ends to send from, by name."""

    def __init__(self, agents: set[Agent]) -> None:
        """Those whose ends are used are added to `agents`."""
        self._agents = agents
        self._mouths: dict[str, tuple[Agent, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._mouths

    def add(self, name: str, injector: RemoteEnd) -> None:
        """Send from this end, in the place of one of that name. OSError when it cannot be."""
        self.remove(name)
        self._agents.add(injector.agent)
        self._mouths[name] = injector.agent, injector.agent.speak(injector.interface)

    def remove(self, name: str) -> None:
        """Close it; fine when there is none."""
        if name in self._mouths:
            agent, number = self._mouths.pop(name)
            with suppress(ConnectionError):  # the agent failed, which shows on the tap
                agent.forget(number)

    def send(self, name: str, frame: bytes) -> None:
        """KeyError for an unknown name, OSError if it cannot be sent."""
        self.send_all(name, [frame])

    def send_all(self, name: str, frames: Sequence[bytes]) -> int:
        """Send the first of the frames, as many as one call takes; how many.

        KeyError for an unknown name, OSError if the first one cannot be sent.
        """
        agent, number = self._mouths[name]
        return agent.send(number, frames)


class RemoteTap(Hearing[RemoteEnd]):
    """Hears its links through agents, which it takes over and closes."""

    def __init__(self, memory_limit: int = 512 << 20) -> None:
        """`memory_limit` bounds the stored frames, in bytes; what is beyond counts as drops."""
        self._store = Store(memory_limit)
        self._agents: set[Agent] = set()
        self._ears: dict[str, tuple[Agent, Ear]] = {}
        self._past = Counter[str]()
        self.injectors: RemoteInjectors = RemoteInjectors(self._agents)

    def add(self, link: str, tap: RemoteEnd, injector: RemoteEnd | None = None) -> None:
        """Listen on `link`, too, at one end; send over it from the other, or the same.

        Raises ValueError for a link that was added before, OSError when an end cannot be opened.
        """
        if link in self._ears:
            raise ValueError(f"the link {link!r} is tapped already")
        self._agents.add(tap.agent)
        if injector is not None:
            self.injectors.add(link, injector)
        try:
            self._ears[link] = tap.agent, tap.agent.hear(link, tap.interface, self._store)
        except OSError:
            self.injectors.remove(link)
            raise

    def remove(self, link: str) -> None:
        """Stop listening on `link`, whose frames and drops stay. KeyError for an unknown link."""
        agent, ear = self._ears[link]
        with suppress(ConnectionError):  # it failed, which shows on the tap
            agent.forget(ear.number)
        del self._ears[link]
        self._past[link] += ear.lost
        self._store.end(link)
        self.injectors.remove(link)

    @property
    def failed(self) -> str | None:
        """Why one of the agents cannot be believed any more."""
        for agent in list(self._agents):
            if agent.failed is not None:
                return f"an agent failed: {agent.failed}"
        return None

    @property
    def dead(self) -> Mapping[str, str]:
        """Links that cannot be heard, and why. One that was down is back with its next frame."""
        found = {}
        for link, (agent, ear) in self._asked().items():
            if agent.failed is not None:
                found[link] = f"its agent failed: {agent.failed}"
            elif ear.dead is not None:
                found[link] = ear.dead
        return found

    @property
    def outages(self) -> Mapping[str, int]:
        """How often each link, since it was added, was found down or gone, or in error."""
        return {link: ear.outages for link, (_, ear) in self._asked().items()}

    def drops(self) -> Mapping[str, int]:
        """Frames of each link that were lost: in the kernel there, on the way here, or for want of
        `memory_limit`. Of an agent that failed those that it told of; `failed` says so."""
        ears = self._asked()
        counts = self._store.lost()
        counts.update(self._past)
        counts.update({link: ear.lost for link, (_, ear) in ears.items()})
        return counts

    def buffers(self) -> Mapping[str, int]:
        """Bytes of receive buffer that the kernel there granted to each link."""
        return {link: ear.buffer for link, (_, ear) in list(self._ears.items())}

    def take(self) -> Mapping[str, list[Captured]]:
        """The stored frames by link, which are forgotten here: room for others, also for the agents
        to send. Drops stay."""
        found = super().take()
        for agent in list(self._agents):
            agent.renew()
        return found

    def close(self) -> None:
        """Stop listening, and end the agents."""
        for agent in list(self._agents):
            agent.close()

    def _asked(self) -> dict[str, tuple[Agent, Ear]]:
        """The ears, with what their agents know of them now."""
        for agent in list(self._agents):
            agent.refresh()
        return dict(self._ears)

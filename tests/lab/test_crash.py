"""Whatever of netchain is killed, at whatever instant: no packet outside `allowed()`, and the next
`up` brings a chain that is proved.

A sample of the instants, other ones in each run; `scripts/bench crash` takes them all, on the main
chain. How packets are sent, heard and judged, and what is not covered: crash_scene.py.

Not covered: a jump of the wall clock (it must not be set on a machine that others use; that a set
clock spoils a proof is tested in tests/unit), and of the monotonic one (a time namespace gives
another offset, never a jump); for the suspended machine all processes of the site stand still. A
disk is full for the command alone, not for the keeper.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from commands import Netchain
from crash_blows import MidLoad, Second, Suspend, full_disk, is_load, refuse, silent_vpn
from crash_proxy import Message
from crash_scene import Scene, scene
from crash_trial import (
    VERBS,
    Blow,
    Kill,
    Summary,
    Verb,
    kill_cli,
    points,
    strike,
)
from crash_watch import BEFORE, Point, Run

from netchain.model.chain import Role

pytestmark = [pytest.mark.lab, pytest.mark.own_taps]
TARGET = "vpn-only"
UP, MEND, DOWN = VERBS
SEED = random.randrange(2**32)
OPEN = """table inet netchain
delete table inet netchain
table inet netchain_blocked
delete table inet netchain_blocked
table inet netchain { }
"""


@pytest.fixture(scope="module")
def sample() -> random.Random:
    print(f"seed {SEED}")
    return random.Random(SEED)


@pytest.fixture(scope="module")
def lab(netchain: Netchain) -> Iterator[Netchain]:
    assert netchain("lab", "up").returncode == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETCHAIN_STATE_DIR", str(netchain.state))
        yield netchain
    netchain("lab", "up")
    netchain("down", TARGET)


@pytest.fixture(scope="module")
def flooded(lab: Netchain) -> Iterator[Scene]:
    with scene(lab, TARGET) as found:
        yield found


def holds(kill: Kill) -> None:
    """It was seen to be harmless."""
    assert kill.outside == [] and kill.converged, str(kill)
    assert kill.doubts == [], str(kill)


def at(scene: Scene, verb: Verb, words: str, when: str = BEFORE) -> Point:
    """The point of the first effect that begins so."""
    return next(p for p, effect in points(scene, verb) if effect.startswith(words)
                and p.when == when)  # fmt: skip


@pytest.mark.parametrize(("verb", "count"), [(UP, 3), (MEND, 3), (DOWN, 1)])
def test_the_command_can_be_killed_anywhere(
    flooded: Scene, sample: random.Random, verb: Verb, count: int
) -> None:
    every = points(flooded, verb)
    assert len(every) >= (2 if verb is DOWN else 40)
    found = [strike(flooded, verb, p) for p, _ in sample.sample(every, count)]
    assert all(kill.status == -9 for kill in found)
    counting = [kill for kill in found if not kill.cannot_count]
    for kill in counting:
        holds(kill)
    assert Summary.of(found).outside_allowed == 0 and all(kill.converged for kill in found)
    if verb is MEND:
        assert len(counting) == count and Summary.of(found).flood_after_kill_min > 1000


@pytest.mark.parametrize("when", ["before", "asked"])
def test_the_rule_loader_can_be_killed_over_a_load(
    flooded: Scene, sample: random.Random, when: str
) -> None:
    loads = [p for p, effect in points(flooded, MEND) if is_load(effect) and p.when == when]
    blow = MidLoad(flooded)
    kill = strike(flooded, MEND, sample.choice(loads), blow, "rule loader")
    holds(kill)
    assert blow.failed == ""
    assert when == "asked" or "the rule loader died" in kill.said, kill.said


def test_nft_can_refuse_a_step(flooded: Scene, sample: random.Random) -> None:
    loads = [p for p, effect in points(flooded, MEND) if is_load(effect) and p.when == BEFORE]
    kill = strike(flooded, MEND, sample.choice(loads), refuse, "nft refuses")
    holds(kill)
    assert kill.status == 1 and "nft: Error" in kill.said, kill.said
    assert "The chain is left closed" in kill.said


def without_workstation(scene: Scene) -> None:
    """It was removed."""
    scene.site.backend.remove(scene.chain, scene.chain.with_role(Role.WORKSTATION)[0].name)
    scene.opened()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_the_disk_can_be_full(flooded: Scene) -> None:
    """When a qube of a chain that runs has to be made anew."""
    verb = Verb("up", ("up", "CHAIN"), ("up", "CHAIN"), without_workstation)
    prefix = full_disk(flooded.netchain.state / "chains", 0)
    kill = strike(flooded, verb, by="disk full", prefix=prefix)
    holds(kill)
    assert kill.status == 1 and "No space left on device" in kill.said, kill.said


def test_the_vpn_can_be_down(flooded: Scene) -> None:
    silent = silent_vpn(flooded.netchain)
    kill = strike(flooded, MEND, by="VPN down", more=("--timeout", "1"), around=silent)
    holds(kill)
    assert kill.status == 3 and "The chain is left closed" in kill.said, kill.said


def test_two_commands_at_once(flooded: Scene) -> None:
    """One lock: the second says who holds it, or waits; also for one that is killed."""
    point = at(flooded, MEND, "~ unblock")
    told = Second(flooded, "up", "CHAIN")
    holds(strike(flooded, MEND, point, told, "a second one"))
    assert told.status == 1 and "is being changed by process" in told.said
    waits = Second(flooded, "up", "CHAIN", "--wait")
    holds(strike(flooded, MEND, point, waits, "a second one that waits"))
    waits.finish()
    assert waits.status == 0, waits.said
    heir = Second(flooded, "up", "CHAIN", "--wait", kill_first=True)
    holds(strike(flooded, MEND, point, heir, "killed while a second one waits"))
    assert heir.status == 0, heir.said


def test_the_machine_can_be_suspended(flooded: Scene) -> None:
    """A second of flood over a site that stands still."""
    blow = Suspend(flooded, 3)
    holds(strike(flooded, MEND, at(flooded, MEND, "? prove"), blow, "suspended"))
    assert blow.doubts == [] and blow.heard > 1000


def opens(scene: Scene, role: Role) -> Blow:
    """The control's blow: whoever kills the command has opened a qube before."""

    def blow(run: Run, message: Message) -> None:
        scene.site.backend.load_rules(scene.chain, scene.chain.with_role(role)[0].name, OPEN)
        kill_cli(run, message)

    return blow


@pytest.mark.parametrize(
    ("role", "link"),
    [(Role.VPN_PROXY, "sys-proxyvm--tunnel up"), (Role.WORKSTATION, "work--sys-proxyvm up")],
)
def test_an_opened_qube_is_seen(flooded: Scene, role: Role, link: str) -> None:
    """The control: a gateway passes on what comes past the workstation's rules; a workstation
    lets out what comes through its own stack."""
    kill = strike(flooded, DOWN, Point(1, BEFORE), opens(flooded, role))
    assert kill.doubts == [] and kill.converged, str(kill)
    assert any(leak.startswith(link) for leak in kill.outside), kill.outside[:5]


def test_a_flood_that_is_not_heard_counts_for_nothing(flooded: Scene) -> None:
    """The control of the count: the flood is ended at the blow."""

    def blow(run: Run, message: Message) -> None:
        flooded.flood.stop()
        kill_cli(run, message)

    kill = strike(flooded, DOWN, Point(1, BEFORE), blow)
    assert "the flood stopped" in kill.doubts and kill.outside == [], str(kill)
    assert Summary.of([kill]).kills == 0

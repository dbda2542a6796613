"""A chain on each real uplink, in a computer that stands in for this one (stand_in.py).

The wire of that computer is judged, not only the chain's own: it may carry WireGuard to the
endpoint, and nothing else. Not covered: a physical NIC (this one is the end of a veth), kernels
without `force_forwarding`, the real Tor network.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from commands import until
from stand_in import (
    HOST4,
    HOST6,
    INNER4,
    PORT,
    ROUTER4,
    ROUTER6,
    SERVER4,
    SERVER6,
    StandIn,
    holders,
    ordinary_user,
    pids,
)  # fmt: skip

from netchain.model.allowed import Direction, FlowPattern, Kind
from netchain.wire.decode import decode
from netchain.wire.judge import permits

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the stand-in's namespaces are joined as root"),
]
NIC4, NIC6 = "192.0.2.9", "2001:db8:1::9"
LAN = (
    f'lan = {{ address = "{NIC4}/24", gateway = "{ROUTER4}", '
    f'address6 = "{NIC6}/64", gateway6 = "{ROUTER6}" }}\n'
)
_LINK_LOCAL = ip_network("fe80::/10")
UPLINKS = ("pasta", "host", "nic:eth0")


@pytest.fixture
def computer() -> Iterator[StandIn]:
    state = Path(tempfile.mkdtemp(prefix="nu-"))
    try:
        with StandIn(state) as stand_in:
            yield stand_in
        assert until(lambda: not pids(f"@{state}/s/run"), 20), "something of the site is left"
    finally:
        for pid in pids(f"@{state}/s/run"):
            os.kill(pid, 9)
        shutil.rmtree(state)


@pytest.fixture
def programs() -> Iterator[Path]:
    """An empty directory that qubes see."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="nu-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def profile(computer: StandIn, uplink: str, version: str = "v4") -> Path:
    return computer.profile(uplink, version, LAN if uplink.startswith("nic:") else "")


def page(computer: StandIn, path: Path, user: tuple[str, ...] = (), seconds: int = 10) -> str:
    curl = ("curl", "-sS", "-m", str(seconds), f"http://{INNER4}/x")
    return computer.netchain("exec", str(path), "--", *curl, user=user).stdout


def state_of(computer: StandIn) -> str:
    """All that a real uplink could change of the computer, but for how new an address is."""
    script = (
        "ip -o address | sed 's/ nodad//; s/ tentative//'; ip route show table all | sort;"
        " ip -6 route show table all | sort; ip rule;"
        " ip neigh show nud permanent; nft list ruleset; cd /proc/sys/net;"
        " grep -r . ipv4/conf ipv6/conf ipv4/ip_forward 2>/dev/null | sort"
    )
    return computer.run(computer.host, "sh", "-c", script)


def changes(before: str, after: str) -> set[str]:
    return set(before.splitlines()) ^ set(after.splitlines())


def on_the_wire(own: str, server: str) -> list[FlowPattern]:
    """WireGuard from the computer to the endpoint and back, and who is whose neighbour."""
    vpn = FlowPattern(
        "", Kind.WIREGUARD, Direction.UP, ip_network(own), ip_network(server), dport=PORT
    )
    patterns = [vpn, vpn.reply()]
    near4, near6 = ip_network("192.0.2.0/24"), [ip_network("2001:db8:1::/64"), _LINK_LOCAL]
    patterns += [FlowPattern("", Kind.ARP, d, near4, near4) for d in Direction]
    for a, b, d in itertools.product(near6, near6, Direction):
        patterns.append(FlowPattern("", Kind.NDP, d, a, b))
    reports = ip_network("ff02::16/128")
    for source in (ip_network("::/128"), _LINK_LOCAL):
        patterns += [FlowPattern("", Kind.MLD, d, source, reports) for d in Direction]
    return patterns


@pytest.mark.parametrize("version", ["v4", "v6"])
@pytest.mark.parametrize("uplink", UPLINKS)
def test_the_computers_wire_carries_the_vpn_alone_and_is_as_before(
    computer: StandIn, uplink: str, version: str
) -> None:
    path = profile(computer, uplink, version)
    own = {"v4": (HOST4, NIC4), "v6": (HOST6, NIC6)}[version][uplink == "nic:eth0"]
    patterns = on_the_wire(own, {"v4": SERVER4, "v6": SERVER6}[version])
    before = state_of(computer)
    tap = computer.socket(computer.world, "AF_PACKET", "SOCK_RAW", "eth0")
    with computer.up(path):
        assert '"seen_from": "10.64.0.2"' in page(computer, path)
        status = computer.netchain("status", str(path), "--json")
        assert json.loads(status.stdout)["verdict"] == "up"
        if uplink == "nic:eth0":
            assert "eth0" not in computer.run(computer.host, "ip", "link")
        assert computer.netchain("plan", str(path), "--exit-code").returncode == 0
    assert until(lambda: state_of(computer) == before, 10), changes(before, state_of(computer))
    frames = captured(tap)
    strange = [decode(f) for f, is_up in frames if not permitted(patterns, f, is_up=is_up)]
    assert not strange
    vpn = [frame for frame, is_up in frames if is_up and permitted(patterns[:1], frame, is_up=True)]
    assert len(vpn) > 5, "the page came another way"


def captured(tap) -> list[tuple[bytes, bool]]:  # type: ignore[no-untyped-def]
    """Frames at the world's end of the wire, and whether the computer sent each."""
    found = []
    while True:
        try:
            frame, (_, _, kind, *_) = tap.recvfrom(1 << 16)
        except BlockingIOError:
            return found
        found.append((frame, kind != 4))  # PACKET_OUTGOING


def permitted(patterns: list[FlowPattern], frame: bytes, *, is_up: bool) -> bool:
    return permits(patterns, decode(frame), Direction.UP if is_up else Direction.DOWN)


def test_an_ordinary_user_has_pasta(computer: StandIn) -> None:
    """Without any right in the computer's network."""
    path, user = profile(computer, "pasta"), tuple(ordinary_user())
    with computer.up(path, user):
        assert "seen_from" in page(computer, path, user)


def test_slirp4netns_where_there_is_no_pasta(computer: StandIn, programs: Path) -> None:
    path = profile(computer, "pasta")
    done = computer.netchain("up", str(path), path=without(programs, "pasta"))
    assert done.returncode == 0, done.stderr
    assert pids(f"slirp4netns .*/proc/{holders(computer.state, ':uplink')[0]}/ns/net")
    assert "seen_from" in page(computer, path)
    assert computer.netchain("down", str(path)).returncode == 0


def without(directory: Path, *names: str) -> str:
    """A PATH with all of this machine's programs but these. (Not in /tmp, which no qube sees.)"""
    for folder in ("/usr/sbin", "/usr/bin"):
        for program in Path(folder).iterdir():
            link = directory / program.name
            if program.name not in names and not link.is_symlink():
                link.symlink_to(program)
    return str(directory)


@pytest.mark.parametrize(
    ("uplink", "code", "said"),
    [("host", "E037", "sudo netchain up vpn-only"), ("nic:eth0", "E037", "sudo netchain up"),
     ("pasta", "E037", "apt-get install passt")],
)  # fmt: skip
def test_what_is_missing_is_told_with_the_line_that_helps(
    computer: StandIn, programs: Path, uplink: str, code: str, said: str
) -> None:
    path, before = profile(computer, uplink), state_of(computer)
    path_variable = without(programs, "pasta", "slirp4netns")
    done = computer.netchain("up", str(path), user=ordinary_user(), path=path_variable)
    assert done.returncode == 5, done.stderr
    assert f"error[{code}]" in done.stderr and said in done.stderr
    assert "Nothing was changed." in done.stderr
    assert state_of(computer) == before
    assert not pids(f"@{computer.state}/s/run")


def test_a_nic_that_is_not_there_is_named(computer: StandIn) -> None:
    done = computer.netchain("up", str(computer.profile("nic:wifi9", more=LAN)))
    assert done.returncode == 5 and "no NIC wifi9" in done.stderr and "eth0" in done.stderr
    assert not pids(f"@{computer.state}/s/run")


def test_the_labs_providers_are_in_the_lab_only(computer: StandIn) -> None:
    path = profile(computer, "pasta")
    path.write_text(path.read_text().replace("secrets/v4.toml", "lab:provider-a"))
    done = computer.netchain("up", str(path))
    assert done.returncode == 2 and "error[E020]" in done.stderr

"""The keeper and its client where something goes wrong; each test has a keeper without a lab.

Not covered: a rule loader that dies (test_trouble.py), a keeper that is killed (test_demo.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bare_site import bare_site, node
from commands import Netchain, until

from netchain.backends.base import Command, Service, User
from netchain.backends.netns import rpc
from netchain.backends.netns.backend import start_service
from netchain.backends.netns.client import KeeperClient, log_path

pytestmark = pytest.mark.lab
QUBE = "mine:work"


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def keeper(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeeperClient]:
    with bare_site(state, monkeypatch) as keeper:
        yield keeper


def test_the_answer_to_an_interrupted_request_is_not_taken_for_the_next_ones(
    keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between a request and its answer; then as many requests as a clean-up makes."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    node(keeper, QUBE)
    with monkeypatch.context() as patch:
        patch.setattr(rpc, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keeper.ask("hello")
    assert list(keeper.ask("observe", prefix="")) == ["nodes"]
    assert keeper.ask("remove", node=QUBE) == {}
    assert keeper.ask("observe", prefix="") == {"nodes": {}}


def test_a_keeper_that_cannot_be_reached_is_not_called_down(
    keeper: KeeperClient, state: Path
) -> None:
    """Its chains may be open."""
    node(keeper, QUBE)
    (keeper.directory / "keeper.sock").unlink()
    run = Netchain(state)
    started = [run.begin(*words) for words in (["down", "mine"], ["status"], ["lab", "up"])]
    for process in started:  # each waits a while for a keeper that may be ending
        out, said = process.communicate(timeout=60)
        assert process.returncode == 1, process.args
        assert "error[E036]: the keeper of site lab runs, but cannot be reached" in said
        assert "not up" not in out + said
    assert run("lab", "down").stdout == "the lab is down\n"
    assert run("down", "vpn-only").stdout == "vpn-only was not up\n"


BROKEN = 'schema = 1\nname = "mine"\n[[qube]]\nname = "work"\nrole = "nonsense"\n'


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("mine", None),
        ("mine", BROKEN),
        ("mine", "this is not TOML"),
        ("file", BROKEN),
        ("file.toml", BROKEN),
    ],
)
def test_down_needs_no_profile_that_can_be_used(
    keeper: KeeperClient, state: Path, tmp_path: Path, argument: str, text: str | None
) -> None:
    run = Netchain(state)
    run.environment["NETCHAIN_CONFIG_DIR"] = str(tmp_path)
    chains = tmp_path / "chains"
    chains.mkdir()
    path = chains / f"{argument.removesuffix('.toml')}.toml"
    if text is not None:
        path.write_text(text)
    node(keeper, QUBE)
    node(keeper, "other:work")
    done = run("down", str(path) if argument.endswith(".toml") else argument)
    assert (done.returncode, done.stdout) == (0, "mine is down\n"), done.stderr
    assert list(keeper.ask("observe", prefix="")["nodes"]) == ["other:work"]


def test_a_name_that_nothing_has_is_a_mistake(keeper: KeeperClient, state: Path) -> None:
    node(keeper, QUBE)
    done = Netchain(state)("down", "minr")
    assert done.returncode == 2 and "error[E021]" in done.stderr
    assert list(keeper.ask("observe", prefix="")["nodes"]) == [QUBE]


def services(keeper: KeeperClient) -> dict[str, Any]:
    found: dict[str, Any] = keeper.ask("observe", prefix=QUBE)["nodes"][QUBE]["services"]
    return found


def test_what_a_setup_that_got_a_secret_says_is_not_logged(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    node(keeper, QUBE)
    log, told = log_path(keeper.directory, QUBE, "vpn"), tmp_path / "told"
    quote = f"cat > {told}.new; cat {told}.new >&2; cat {told}.new; mv {told}.new {told}"
    program = ("sh", "-c", "echo started; exec sleep 1000")
    setup = (
        Command(
            ("echo", "no secret"),
        ),
        Command(("sh", "-c", quote), b"PrivateKey = secret"),
    )
    start_service(keeper, QUBE, Service("vpn", program, setup=setup))
    assert until(lambda: services(keeper)["vpn"]["running"], 20)
    assert told.read_text() == "PrivateKey = secret"
    assert sorted(log.read_text().split("\n")) == ["", "no secret", "started"]


def test_a_program_that_is_stopped_at_once_is_gone(keeper: KeeperClient) -> None:
    """Stopped while nsenter and setpriv are still on their way to it."""
    node(keeper, QUBE)
    show = ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    for _ in range(20):
        start_service(keeper, QUBE, Service("sleeper", ("sleep", "1000")))
        keeper.ask("stop_service", node=QUBE, name="sleeper")
    assert services(keeper) == {}

    def running() -> str:
        return keeper.execute(QUBE, show, b"", 20, User.ROOT).stdout.decode()

    assert "infinity" in running()  # what holds the node
    assert until(lambda: "sleep 1000" not in running(), 10)

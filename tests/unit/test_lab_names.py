"""What the lab has not got: a provider of that name, a free port of its router.

A keeper that only answers `observe` stands in for the real one: the words and the choice are meant
here, not the wires.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from netchain.errors import Exit, NetchainError
from netchain.lab import internet
from netchain.lab.lab import Lab
from netchain.model import profile
from netchain.model.chain import Chain
from netchain.model.names import ChainName
from netchain.model.observed import UPLINK_PEER
from netchain.resources import data_dir

NAME = "vpn-before-tor"


class Keeper:
    """Says that these nodes are plugged into these ports of the router."""

    def __init__(self, ports: dict[str, str]) -> None:
        self._ports, self.asked = ports, 0

    def ask(self, do: str, **_: Any) -> dict[str, Any]:
        assert do == "observe"
        self.asked += 1
        # The label of a link: its netvm (here with the router's port), and a digest of its wiring.
        found = {
            node: {"uplinks": {"eth0": (1, f"{UPLINK_PEER} {port} 0a1b")}}
            for node, port in self._ports.items()
        }
        inner = {
            "lab:isp": {"uplinks": {}},
            "other:work": {"uplinks": {"eth0": (1, "sys-net 0a1b")}},
        }
        return {"nodes": {**found, **inner}}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Lab]:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(tmp_path))
    return lambda ports: Lab(Keeper(ports))  # type: ignore[arg-type]


def chain(config: str = "", name: str = NAME) -> Chain:
    text = (data_dir() / "profiles" / f"{NAME}.toml").read_text()
    text = text.replace("lab:provider-a", config or "lab:provider-a")
    return replace(profile.parse(text, "p.toml"), name=ChainName.parse(name))


Labs = Callable[[dict[str, str]], Lab]
TAKEN = {f"c{n}:sys-net": f"wan{n}" for n in range(internet.MAX_PORTS)}


@pytest.mark.parametrize("name", ["provider-zzz", "", "provider-A", "provider-a ", "../provider-a"])
def test_a_provider_that_is_not_there(lab: Labs, tmp_path: Path, name: str) -> None:
    with pytest.raises(NetchainError) as caught:
        lab({}).resolve(chain(f"lab:{name}"), tmp_path)
    assert caught.value.exit_code is Exit.USAGE
    (problem,) = caught.value.problems
    assert (problem.code, problem.value) == ("E020", repr(f"lab:{name}"))
    assert problem.accepted == "lab:provider-a, lab:provider-b"


def test_every_bad_configuration_is_told_at_once(lab: Labs, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('type = "openvpn"\nmtu = 1\n')
    with pytest.raises(NetchainError) as caught:
        lab({}).resolve(chain("bad.toml"), tmp_path)
    assert caught.value.exit_code is Exit.USAGE
    assert {"E040", "E041", "E042", "E043"} == {p.code for p in caught.value.problems}


def test_sixteen_chains_take_every_port(lab: Labs, tmp_path: Path) -> None:
    with pytest.raises(NetchainError) as caught:
        lab(TAKEN).resolve(chain(), tmp_path)
    assert caught.value.exit_code is Exit.FAILED
    (problem,) = caught.value.problems
    assert (problem.code, problem.title) == ("E055", "all 16 ports of the lab's router are taken")
    assert "netchain down CHAIN" in problem.help


@pytest.mark.parametrize("free", range(internet.MAX_PORTS))
def test_the_last_free_port_is_found(lab: Labs, free: int) -> None:
    taken = {node: port for node, port in TAKEN.items() if port != f"wan{free}"}
    assert lab(taken)._wan(chain()) == internet.wan(free)


def test_a_chain_keeps_its_port_when_all_are_taken(lab: Labs) -> None:
    assert lab(TAKEN)._wan(chain(name="c7")) == internet.wan(7)
    with pytest.raises(NetchainError):  # c1 is not c16's
        lab(TAKEN)._wan(chain(name="c16"))


SAME = [f"c{n}" for n in range(999) if crc32(f"c{n}".encode()) % internet.MAX_PORTS == 3]
"""Chains whose search begins at the same port."""


def test_two_chains_that_start_at_once_get_a_port_each(lab: Labs) -> None:
    """Neither is plugged in when the other one looks."""
    ports = [lab({})._wan(chain(name=name)) for name in SAME[:2]]
    assert ports == [internet.wan(3), internet.wan(4)]


@pytest.mark.usefixtures("lab")
def test_a_port_that_was_taken_while_it_was_claimed_is_not_free() -> None:
    class Late(Keeper):
        def ask(self, do: str, **more: Any) -> dict[str, Any]:
            found = super().ask(do, **more)
            self._ports = {f"{SAME[1]}:sys-net": "wan3"}  # from the second look on
            return found

    keeper = Late({})
    assert Lab(keeper)._wan(chain(name=SAME[0])) == internet.wan(4)  # type: ignore[arg-type]
    assert keeper.asked > 1

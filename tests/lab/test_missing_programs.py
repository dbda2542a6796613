"""Where programs are missing, all of them are named at once, before anything is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from netchain.lab.lab import PROGRAMS

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[2]
BINDING = Path("/usr/lib/python3/dist-packages/nftables")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program where only some of the others are on PATH; afterwards nothing is there."""

    def without(
        missing: Iterable[str], *words: str, before: str = ""
    ) -> subprocess.CompletedProcess[str]:
        programs, state = tmp_path / "bin", tmp_path / "s"
        programs.mkdir()
        for name in PROGRAMS.keys() - set(missing):
            (programs / name).symlink_to(str(shutil.which(name)))
        line = f'{before} PATH={programs} exec {sys.executable} -m netchain "$@"'
        command = ["bash", "-c", line, "run", *words]
        done = subprocess.run(
            ["unshare", "--mount", *command] if before else command, capture_output=True,
            env={**os.environ, "NETCHAIN_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)},
            text=True, timeout=60, check=False,
        )  # fmt: skip
        marker = f"netchain-keeper lab@{state}"
        assert not subprocess.run(["pgrep", "-f", marker], capture_output=True).stdout
        made = [path for path in state.rglob("*") if not path.is_dir()]
        assert [path for path in made if path.suffix != ".lock"] == []
        assert "Traceback" not in done.stderr
        return done

    return without


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_is_named(run: Run, program: str) -> None:
    """By `lab up`; `demo` has the same list (test_all_of_it_is_named_at_once)."""
    done = run([program], "lab", "up")
    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        f"error[E033]: {program} is missing",
        f"help: apt-get install {PROGRAMS[program]}",
        "Nothing was changed.",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide files in a mount namespace")
@pytest.mark.skipif(not BINDING.is_dir(), reason="nft's binding is somewhere else")
@pytest.mark.parametrize("words", [("lab", "up"), ("demo",)])
def test_all_of_it_is_named_at_once(run: Run, words: tuple[str, ...]) -> None:
    hide = f"mount -t tmpfs tmpfs {BINDING}; mount -t tmpfs tmpfs /dev/net;"
    done = run(PROGRAMS, *words, before=hide)
    assert done.returncode == 5
    titles = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert titles[: len(PROGRAMS)] == [f"error[E033]: {name} is missing" for name in PROGRAMS]
    assert titles[len(PROGRAMS)].startswith("error[E033]: nft's Python library cannot be used")
    if not Path("/sys/module/wireguard").exists():
        assert titles[-1] == "error[E031]: there is no /dev/net/tun"
    assert "python3-nftables" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide files in a mount namespace")
@pytest.mark.skipif(not BINDING.is_dir(), reason="nft's binding is somewhere else")
def test_nfts_binding_alone(run: Run) -> None:
    done = run([], "lab", "up", before=f"mount -t tmpfs tmpfs {BINDING};")
    assert done.returncode == 5
    assert done.stderr.count("error[") == 1
    assert "error[E033]: nft's Python library cannot be used" in done.stderr

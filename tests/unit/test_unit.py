"""The systemd units, and the verbs that write them and take them away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netchain import unit
from netchain.model.names import ChainName
from netchain.resources import data_dir

NAME = ChainName("mine")


@pytest.mark.parametrize("who", ["root", "user"])
def test_the_unit_is_golden(golden: Callable[[str, str], None], who: str) -> None:
    kept = {"NETCHAIN_STATE_DIR": "/srv/net chain"}
    text = unit.text(NAME, "/opt/py thon", "/srv/50%/$a.toml", kept, is_root=who == "root")
    golden(f"unit/{who}.service", text)
    assert unit.is_ours(text)


@pytest.mark.parametrize("word", ["a\nExecStart=/bin/true", "a\tb", "a\x00b"])
def test_what_no_unit_can_hold_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="cannot be in a unit"):
        unit.text(NAME, sys.executable, word, {}, is_root=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("is_root", [True, False])
def test_systemd_finds_nothing_wrong(tmp_path: Path, is_root: bool) -> None:
    """In a mount namespace with a /run of its own: systemd-analyze writes there."""
    file = tmp_path / unit.name(NAME)
    file.write_text(unit.text(NAME, sys.executable, str(tmp_path), {}, is_root=is_root))
    user = "" if is_root else "--user"
    script = f"mount -t tmpfs tmpfs /run; mkdir /run/u; exec systemd-analyze verify {user} {file}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script],
        env={**os.environ, "XDG_RUNTIME_DIR": "/run/u"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and str(file) not in done.stderr, done.stderr


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    text = (data_dir() / "profiles" / "vpn-only.toml").read_text(encoding="utf-8")
    text = text.replace('uplink  = "lab"', 'uplink = "pasta"').replace('"vpn-only"', '"mine"')
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def netchain(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NETCHAIN_UNIT_DIR": str(tmp_path / "units")}
    return subprocess.run(
        [sys.executable, "-m", "netchain", *words], env=environment, capture_output=True, text=True
    )


def there(tmp_path: Path) -> set[str]:
    units = tmp_path / "units"
    return {str(path.relative_to(units)) for path in units.rglob("*") if not path.is_dir()}


def test_enable_writes_and_disable_takes_away_the_same(tmp_path: Path, profile: Path) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "other.service").write_text("[Unit]\n")
    for _ in range(2):
        done = netchain(tmp_path, "enable", str(profile))
        assert done.returncode == 0, done.stderr
        assert "daemon-reload" in done.stdout and "start netchain-mine.service" in done.stdout
    file = tmp_path / "units" / "netchain-mine.service"
    target = unit.wanted_by(is_root=os.geteuid() == 0)
    link = f"{target}.wants/netchain-mine.service"
    assert there(tmp_path) == {"other.service", "netchain-mine.service", link}
    assert (tmp_path / "units" / link).readlink() == file
    assert file.stat().st_mode & 0o777 == 0o644
    assert f"netchain.boot {profile}" in file.read_text()
    profile.unlink()
    for words in ("is gone", "was not enabled"):
        done = netchain(tmp_path, "disable", "mine")
        assert done.returncode == 0 and words in done.stdout, done.stderr
    assert there(tmp_path) == {"other.service"}


def test_a_dry_run_shows_the_unit_and_writes_nothing(tmp_path: Path, profile: Path) -> None:
    done = netchain(tmp_path, "enable", "-n", str(profile))
    assert done.returncode == 0 and unit.MARK in done.stdout and "Type=notify" in done.stdout
    assert not (tmp_path / "units").exists()


def test_a_unit_that_is_not_ours_stays(tmp_path: Path, profile: Path) -> None:
    file = tmp_path / "units" / "netchain-mine.service"
    file.parent.mkdir()
    file.write_text("[Service]\n")
    for words in (("enable", str(profile)), ("disable", "mine")):
        done = netchain(tmp_path, *words)
        assert done.returncode == 4 and "error[E058]" in done.stderr
    assert file.read_text() == "[Service]\n"


def test_a_chain_of_the_lab_is_not_for_boot(tmp_path: Path) -> None:
    done = netchain(tmp_path, "enable", "vpn-only")
    assert done.returncode == 2 and "error[E022]" in done.stderr
    assert not (tmp_path / "units").exists()

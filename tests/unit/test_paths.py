"""Directories that others can write to are not used, and who a person's programs run as.

Not covered: directories of somebody else (test_cli_trouble.py), access lists (acl(5)).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from netchain import paths
from netchain.backends.netns import uid_maps
from netchain.commands import common
from netchain.errors import NetchainError


@pytest.mark.parametrize("mode", [0o707, 0o770, 0o777, 0o1777, 0o702, 0o720])
@pytest.mark.parametrize("of", [paths.state_dir, paths.runtime_dir])
def test_a_state_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, of: Callable[[], Path]
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(state))
    assert of().is_relative_to(state) and of().stat().st_mode & 0o777 == 0o700
    of().chmod(mode)  # by somebody who made it before, or by a mistake
    with pytest.raises(NetchainError, match="others can write") as caught:
        of()
    assert caught.value.problems[0].code == "E002"
    Path(caught.value.problems[0].where).chmod(0o700)
    of()


def test_a_profile_directory_that_everybody_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETCHAIN_CONFIG_DIR", str(tmp_path))
    chains = tmp_path / "chains"
    assert "vpn-before-tor" in common.profiles()
    chains.mkdir()
    (chains / "vpn-before-tor.toml").write_text("somebody else's")
    for mode in (0o757, 0o1777):
        chains.chmod(mode)
        with pytest.raises(NetchainError, match="others can write") as caught:
            common.find("vpn-before-tor")
        assert caught.value.problems[0].where == str(chains)
    chains.chmod(0o775)
    assert common.profiles()["vpn-before-tor"].parent == chains


@pytest.mark.parametrize(
    ("uid", "gid", "person"),
    [
        ("1000", "1000", "1000:1000"),
        ("0", "0", "65534:65534"),
        ("0", "1000", "65534:65534"),
        ("1000", "0", "65534:65534"),
        ("00", "1000", "65534:65534"),
        ("", "", "65534:65534"),
        ("-1", "1000", "65534:65534"),
        ("1000:0", "1000", "65534:65534"),
        ("\u0661", "1", "65534:65534"),
    ],
)
def test_a_persons_programs_never_run_as_root(
    monkeypatch: pytest.MonkeyPatch, uid: str, gid: str, person: str
) -> None:
    """Root who calls sudo is nobody, too."""
    monkeypatch.setenv("SUDO_UID", uid)
    monkeypatch.setenv("SUDO_GID", gid)
    assert uid_maps._RootMaps().person == person

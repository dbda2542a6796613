"""What the operating system refuses is told in the one shape of errors, never as a traceback.

Not covered: a full disk (tests/lab/test_full_disk.py, it takes a mount).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netchain.cli import cli
from netchain.commands import common
from netchain.errors import Exit, NetchainError, from_os

ROOT = Path(__file__).resolve().parents[2]
CLOSED = "A chain that was being changed stays closed."


def netchain(
    state: Path, *words: str, shell: str = "", timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    """Run the program; `shell` is what follows it on a shell's line."""
    line = f"{sys.executable} -m netchain {' '.join(words)} {shell}"
    environment = {**os.environ, "NETCHAIN_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip


def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = netchain(tmp_path, "ls", shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error[E002]: No space left on device\n")
    assert done.stderr.endswith(f"{CLOSED}\n")
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_is_no_error(tmp_path: Path, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {
        **os.environ, "NETCHAIN_STATE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": unbuffered,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "netchain", "ls"], env=environment, stdout=writer,
        stderr=subprocess.PIPE, text=True, timeout=20, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def is_a_file(path: Path) -> None:
    path.touch()


def is_below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def is_somebody_elses(path: Path) -> None:
    path.mkdir()
    os.chown(path, 65533, 65533)


def is_a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def is_somebody_elses_link(path: Path) -> None:
    own = path.with_name("own")
    own.mkdir()
    path.symlink_to(own)
    os.chown(path, 65533, 65533, follow_symlinks=False)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (is_a_file, "this is not a directory"),
        (is_below_a_file, "this is not a directory"),
        (is_a_link_to_nowhere, "this is not a directory"),
        (is_somebody_elses, "belongs to another user"),
        (is_somebody_elses_link, "belongs to another user"),
    ],
)
@pytest.mark.parametrize("words", ["lab up", "up", "status", "lab down"])
def test_a_bad_state_directory(
    tmp_path: Path, make: Callable[[Path], None], said: str, words: str
) -> None:
    if os.geteuid() and "else" in make.__name__:
        pytest.skip("only root can give a directory away")
    state = tmp_path / "parent" / "state"
    state.parent.mkdir()
    make(state)
    done = netchain(state, *words.split(), "--json")
    assert done.returncode == 1, done.stderr
    assert "error[E002]: this" in done.stderr and said in done.stderr
    assert f"--> {state}\n" in done.stderr and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["errors"][0]["code"] == "E002"


def test_os_errors_keep_their_file_and_words() -> None:
    error = from_os(OSError(28, "No space left on device", b"/a/\xff"))
    assert error.problems[0].where == "/a/\ufffd" and "make room" in error.problems[0].help
    assert from_os(OSError("only words")).problems[0].title == "only words"
    assert from_os(OSError()).problems[0].title == "OSError"
    assert from_os(PermissionError(13, "Permission denied")).problems[0].help == ""


def test_a_pipe_that_breaks_inside_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """click would take it for a reader of our output that left, and end with 1 and no word."""

    def broken() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(common, "profiles", broken)
    with pytest.raises(NetchainError, match="Broken pipe"):
        cli.main(["ls"], standalone_mode=False)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def long(path: Path) -> None:
    path.write_text("#" * (1 << 20) + "\n")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


TROUBLE = [
    (pipe, "this is a named pipe, not a file"),
    (device, "this is a device, not a file"),
    (long, "longer than 1048576 bytes"),
    (unix_socket, "No such device or address"),
    (Path.mkdir, "this is a directory, not a file"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "this is not text (UTF-8)"),
    (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    (lambda path: None, "No such file or directory"),  # noqa: ARG005
]


@pytest.mark.parametrize(("make", "said"), TROUBLE, ids=[said[:24] for _, said in TROUBLE])
def test_a_profile_that_is_no_file_is_told_at_once(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "p.toml"
    make(path)
    done = netchain(tmp_path / "state", "up", str(path), timeout=10)
    assert done.returncode == Exit.USAGE
    assert f"error[E010]: cannot read the profile: {said}" in done.stderr
    assert str(path) in done.stderr and "Nothing was changed." in done.stderr


def test_a_profile_of_somebody_else_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = tmp_path / "p.toml"
    path.touch(mode=0)
    with pytest.raises(NetchainError, match="Permission denied"):
        common.find(str(path))

"""The demo as an ordinary user with a single uid, in a mount namespace with a /dev/net/tun of ours.

Run by root only (it needs to become somebody else and to bind a device node); whoever runs the
tests as an ordinary user has all other lab tests rootless. A subordinate uid range is not covered.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user"),
]
ROOT = Path(__file__).resolve().parents[2]
UID = "65533"
# Bound to short paths: the user may not be able to walk to the checkout or to the venv.
_SCRIPT = """set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/netchain /mnt/site
mount --bind "$1" /mnt/netchain
mount --bind "$2" /mnt/site
mknod -m "$3" /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
cd /
shift 3
exec setpriv --reuid="$1" --regid="$1" --clear-groups env -i PATH="$PATH" HOME=/nonexistent \
    NETCHAIN_STATE_DIR="$2" PYTHONPATH=/mnt/netchain:/mnt/site /usr/bin/python3 -m netchain "${@:3}"
"""


@pytest.fixture
def state() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="netchain-"))
    os.chown(path, int(UID), int(UID))
    yield path
    shutil.rmtree(path)


def as_user(state: Path, mode: str, *words: str) -> subprocess.CompletedProcess[str]:
    site = sysconfig.get_paths()["purelib"]
    command = ["unshare", "--mount", "bash", "-c", _SCRIPT, "as-user", str(ROOT), site, mode, UID]
    return subprocess.run(
        [*command, str(state), *words], capture_output=True, text=True, timeout=200, check=False
    )


def test_demo_is_clean_as_an_ordinary_user(state: Path) -> None:
    done = as_user(state, "0666", "demo", "--json", "-q")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    document = json.loads(done.stdout)
    assert document["verdict"] == "clean"
    assert all(link["not_allowed"] == 0 for link in document["links"])
    assert document["control"]["leaked"] > 0


@pytest.mark.parametrize("words", [("lab", "up"), ("demo",)])
def test_a_closed_tun_device_is_named_before_anything_starts(
    state: Path, words: tuple[str, ...]
) -> None:
    done = as_user(state, "0600", *words)
    assert done.returncode == 5
    assert "E031" in done.stderr and "mode 0600" in done.stderr
    assert "Nothing was changed." in done.stderr


def test_doctor_names_what_one_uid_means(state: Path) -> None:
    done = as_user(state, "0666", "doctor")
    assert done.returncode == 0, done.stdout
    assert "assumed, not proved" in done.stdout

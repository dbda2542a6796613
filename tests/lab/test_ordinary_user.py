"""An ordinary user: with subordinate uids, with a newuidmap that does not work, with no right to
make user namespaces, without /dev/net/tun.

In a mount namespace of the test's own, with files of ours over /etc/subuid, /etc/subgid and
/etc/passwd (newuidmap wants a name for the user). Run by root only, which alone can become somebody
else. Not covered: AppArmor and SELinux policies that forbid user namespaces.
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
UID, FIRST = 65533, 700000
# Bound to short paths: the user may not be able to walk to the checkout or to the venv.
_SETUP = f"""set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/netchain /mnt/site /mnt/bin
mount --bind "$1" /mnt/netchain
mount --bind "$2" /mnt/site
mknod -m 0666 /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
(cat /etc/passwd; echo 'nc-test:x:{UID}:{UID}::/nonexistent:/bin/sh') > /mnt/passwd
echo "$4" > /mnt/subuid
for file in passwd subuid; do mount --bind /mnt/$file /etc/$file; done
mount --bind /mnt/subuid /etc/subgid
cp "$(command -v newuidmap)" /mnt/bin/newuidmap
user() {{ setpriv --reuid={UID} --regid={UID} --clear-groups "$@"; }}
netchain() {{ user env -i PATH="$path" HOME=/nonexistent NETCHAIN_STATE_DIR="$state" \\
    PYTHONPATH=/mnt/netchain:/mnt/site /usr/bin/python3 -m netchain "$@"; }}
path=$PATH state=$3
cd /
set +e
"""
RANGE = f"nc-test:{FIRST}:65536"


@pytest.fixture
def state() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="nc-"))
    os.chown(path, UID, UID)
    yield path
    for pid in keepers(path):  # a test that failed in the middle
        os.kill(pid, 9)
    shutil.rmtree(path)


def keepers(state: Path) -> list[int]:
    marker = f"netchain-keeper lab@{state}/run"
    found = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def run(state: Path, script: str, ranges: str = "") -> subprocess.CompletedProcess[str]:
    """Run shell lines; `netchain` in them is our program as the user."""
    site = sysconfig.get_paths()["purelib"]
    command = ["unshare", "--mount", "bash", "-c", _SETUP + script, "user", str(ROOT), site]
    return subprocess.run(
        [*command, str(state), ranges], capture_output=True, text=True, timeout=200, check=False
    )


def section(text: str, name: str) -> str:
    """What was printed between the lines `:NAME` and the next `:`."""
    return text.partition(f"\n:{name}\n")[2].partition("\n:")[0]


def test_the_chain_with_a_range_of_uids(state: Path, tor_network: Path) -> None:
    """With a Tor network that has its consensus: who is somebody else from the very first start on
    is in tests/lab/test_rootless.py."""
    (state / "lab").mkdir(mode=0o700)
    shutil.copytree(tor_network, state / "lab" / "tor")
    subprocess.run(["chown", "-R", f"{UID}:{UID}", state / "lab"], check=True)
    done = run(
        state,
        """
echo; echo :doctor; netchain doctor
netchain lab up -q && netchain up -q || exit 1
echo; echo :status; netchain status --json
echo; echo :tor
keeper=$(pgrep -f "netchain-keeper lab@$state/run")
tor=$(pgrep -P "$(pgrep -P "$keeper" -f ' /run/rw/tor$')")
awk '/^(Name|Uid|CapEff):/ { print $2 }' "/proc/$tor/status"
echo; echo :exec; netchain exec vpn-before-tor -- sh -c \
    'id -u; id -g; grep -E "^(Cap|NoNew)" /proc/self/status'
echo; echo :hidden; netchain exec vpn-before-tor:sys-whonix -- ls /run/rw/tor 2>&1
echo; echo :page; netchain exec vpn-before-tor -- curl -sS -m 20 http://news.lab/x
echo; echo :down; netchain down -q; echo $?; netchain lab down; echo $?
""",
        RANGE,
    )
    said = done.stdout
    assert done.returncode == 0, said[-2000:] + done.stderr[-2000:]
    assert "✓ uids: a range of subordinate uids" in section(said, "doctor")
    assert json.loads(section(said, "status"))["verdict"] == "up"
    name, uid, capabilities = section(said, "tor").split()
    assert (name, capabilities) == ("tor", "0" * 16)
    assert FIRST < int(uid) < FIRST + 65536, "a uid of its own"
    person = section(said, "exec").split()
    assert person[:2] == ["1000", "1000"]
    assert [word for word in person[2:] if word.isdigit()] == ["0" * 16] * 5 + ["1"]
    assert "Permission denied" in section(said, "hidden"), "tor's files are not a person's"
    assert "seen_from" in section(said, "page")
    assert section(said, "down").split("\n")[:4] == [
        "vpn-before-tor is down", "0", "the lab is down", "0",
    ]  # fmt: skip
    assert not keepers(state)


def test_a_newuidmap_that_does_not_work_is_told(state: Path) -> None:
    """A copy that is not setuid root."""
    done = run(state, "path=/mnt/bin:$PATH; netchain lab up; echo $?", RANGE)
    assert done.stdout.split()[-1] == "5", done.stderr
    assert "error[E034]: your subordinate uids cannot be mapped (newuidmap:" in done.stderr
    assert "Nothing was changed." in done.stderr and "Traceback" not in done.stderr
    assert_nothing_left(state)


def assert_nothing_left(state: Path) -> None:
    assert not keepers(state)
    assert not [path for path in state.rglob("*") if path.is_socket()]


def test_a_directory_on_path_that_may_not_be_looked_into(state: Path) -> None:
    done = run(state, "mkdir -m 0700 /mnt/secret; path=/mnt/secret:$PATH; netchain doctor", RANGE)
    assert "a range of subordinate uids" in done.stdout, done.stderr


@pytest.mark.parametrize("who", ["--map-root-user", "--map-current-user"])
@pytest.mark.parametrize("words", ["lab up", "demo"])
def test_without_user_namespaces_nothing_is_started(state: Path, who: str, words: str) -> None:
    """The limit is that of a user namespace of the test's own; as its root and as a user in it."""
    done = run(
        state,
        f"""
export path state; export -f netchain
user() {{ "$@"; }}; export -f user
setpriv --reuid={UID} --regid={UID} --clear-groups unshare --user --keep-caps {who} bash -c '
    echo 0 > /proc/sys/user/max_user_namespaces && netchain {words}; echo $?'
""",
    )
    assert done.stdout.split()[-1] == "5", done.stdout + done.stderr
    assert "error[E030]: this system does not let you make a user namespace" in done.stderr
    assert "max_user_namespaces" in done.stderr and "Nothing was changed." in done.stderr
    assert_nothing_left(state)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("umount /dev/net/tun; mount -t tmpfs tmpfs /dev/net", "there is no /dev/net/tun"),
        ("chmod 0600 /mnt/tun", "/dev/net/tun is not open to you (mode 0600)"),
    ],
)
@pytest.mark.parametrize("words", ["lab up", "demo"])
def test_without_tun_nothing_is_started(state: Path, change: str, said: str, words: str) -> None:
    if Path("/sys/module/wireguard").exists():
        pytest.skip("the kernel's own WireGuard needs no tun")
    done = run(state, f"{change}; netchain {words}; echo $?")
    assert done.stdout.split()[-1] == "5", done.stderr
    assert f"error[E031]: {said}" in done.stderr and "Nothing was changed." in done.stderr
    assert_nothing_left(state)


def test_root_of_a_container_with_one_uid_has_one_uid(state: Path) -> None:
    script = """
export path state; export -f netchain
user() { "$@"; }; export -f user
setpriv --reuid=65533 --regid=65533 --clear-groups unshare --user --map-root-user bash -c '
    netchain doctor
    PYTHONPATH=/mnt/netchain:/mnt/site NETCHAIN_STATE_DIR='"$state"' /usr/bin/python3 -c "
from netchain.backends.netns import starter
from netchain.backends.netns.client import KeeperClient
print(KeeperClient.start(\\"one\\").ask(\\"hello\\"))
starter.kill(\\"one\\")"'
"""
    done = run(state, script)
    assert "assumed, not proved" in done.stdout
    assert "{'tor': 0, 'proved': False}" in done.stdout, done.stderr

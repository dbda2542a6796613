"""The machine puts a new resolv.conf in the place of its own, as its network manager does when it
roams: a qube goes on with the one that it was given (D14).

rename(2) takes away what other mount namespaces have mounted on the file (Linux 3.18), so nothing
of a qube's may be mounted on a file of the machine's. In a mount namespace with an /etc of its own,
hence root only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have an /etc of its own here"),
]
PREPARE = 'cp -a /etc "$0/etc" && mount --bind "$0/etc" /etc && exec "$@"'
PLAY = """
import os, sys
from pathlib import Path
from netchain.backends.base import User
from netchain.backends.netns import starter
from netchain.backends.netns.client import KeeperClient

QUBE = "mine:work"

def seen(name):
    done = keeper.execute(QUBE, ("cat", f"/etc/{name}"), b"", 20, User.PERSON)
    print(name, done.stdout.decode().split()[:2])

for name in ("resolv.conf", "hosts"):
    path = Path("/etc", name)
    path.unlink()
    path.write_text("of the machine")
try:
    keeper = KeeperClient.start("names")
    spec = {"hostname": "work", "role": "firewall", "resolv": ["10.139.1.1"]}
    keeper.ask("create", node=QUBE, spec=spec)
    for name in ("resolv.conf", "hosts"):
        seen(name)
        Path("/etc/new").write_text("another one")
        os.rename("/etc/new", f"/etc/{name}")
        seen(name)
    seen("passwd")
    seen("alternatives/README")
    keeper.close()
finally:
    starter.kill("names")
"""


def test_a_qube_keeps_its_own_resolv_conf(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("s")
    command = ["unshare", "--mount", "sh", "-ec", PREPARE, str(state)]
    done = subprocess.run(
        [*command, sys.executable, "-c", PLAY], capture_output=True, text=True, timeout=60,
        env={**os.environ, "NETCHAIN_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    passwd = Path("/etc/passwd").read_text().split()[:2]
    assert done.stdout.splitlines()[:5] == [
        *["resolv.conf ['nameserver', '10.139.1.1']"] * 2,
        *["hosts ['127.0.0.1', 'localhost']"] * 2,
        f"passwd {passwd}",
    ]

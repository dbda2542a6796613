"""Names asked past the chain: by services of the machine, or another resolv.conf (D14 to D17).

The sockets are made where nscd, systemd-resolved, D-Bus and avahi listen, which only root can do.
Not covered: a /var/run that is no link to /run.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import CHAIN, Netchain
from test_leaktest_probes import attached

from netchain.backends.base import User
from netchain.backends.netns.backend import NetnsBackend
from netchain.lab import internet
from netchain.model.chain import Qube, Role

pytestmark = pytest.mark.lab
SOCKETS = {
    "D15": ["/run/nscd/socket", "/var/run/nscd/socket"],
    "D16": ["/run/systemd/resolve/io.systemd.Resolve", "/run/dbus/system_bus_socket",
            "/var/run/dbus/system_bus_socket"],
    "D17": ["/run/avahi-daemon/socket", "/var/run/avahi-daemon/socket"],
}  # fmt: skip
CONNECT = """
import socket, sys
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
            print("connected", path)
        except OSError as error:
            print(type(error).__name__, path)
"""
PYTHON = str(Path(sys.executable).resolve())


@pytest.fixture
def listening() -> Iterator[None]:
    """Somebody listens at each path; a real service is left as it is."""
    if os.geteuid() != 0:
        pytest.skip("only root can listen in /run")
    with ExitStack() as stack:
        for path in (Path(text) for texts in SOCKETS.values() for text in texts):
            made = [p for p in path.parents if not p.exists()]
            for parent in reversed(made):
                parent.mkdir()
                stack.callback(parent.rmdir)
            if not path.exists():
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.bind(str(path))
                sock.listen()
                stack.callback(path.unlink)
        yield


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("id_", SOCKETS)
def test_the_machines_name_services_are_out_of_reach(
    up: Netchain, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    """For root and for others, in every qube; and there they are for the machine itself."""
    for path in SOCKETS[id_]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
    argv = (PYTHON, "-I", "-c", CONNECT, *SOCKETS[id_])
    with attached(up, CHAIN, monkeypatch) as (chain, site):
        assert isinstance(site.backend, NetnsBackend)
        for qube in chain.qubes:
            for user in (User.ROOT, User.PERSON):
                node = f"{chain.name}:{qube.name}"
                done = site.backend.keeper.execute(node, argv, b"", 20, user)
                assert done.stdout.decode().splitlines() == [
                    f"FileNotFoundError {path}" for path in SOCKETS[id_]
                ], done.stderr


ELSEWHERE = ("192.168.1.1", "203.0.113.53", "9.9.9.9")
"""Resolvers of the LAN, of the uplink, and a public one; glibc takes three (resolv.conf(5))."""
ASK = """printf 'nameserver %s\\n' $1 $2 $3 > /etc/resolv.conf
RES_OPTIONS='timeout:1 attempts:1' getent ahosts $0
RES_OPTIONS='use-vc timeout:1 attempts:1' timeout 3 getent ahosts $0 >/dev/null
true
"""


def test_another_resolv_conf_leads_no_question_past_the_chain(
    up: Netchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root of each qube writes another one; what leaves then is judged, as in every lab test."""
    before = Path("/etc/resolv.conf").read_text()
    with attached(up, CHAIN, monkeypatch) as (chain, site):

        def told(qube: Qube, script: str) -> str:
            argv = ("sh", "-c", script, internet.SITE_NAME, *ELSEWHERE)
            done = site.backend.execute(chain, qube.name, argv, timeout=60)
            return done.stdout.decode()

        work = chain.with_role(Role.WORKSTATION)[0]
        own = told(work, "cat /etc/resolv.conf")
        assert told(work, "getent ahosts $0")
        try:
            with ThreadPoolExecutor() as pool:
                assert set(pool.map(lambda qube: told(qube, ASK), chain.qubes)) == {""}
        finally:
            told(work, f"printf '{own}' > /etc/resolv.conf")
    assert Path("/etc/resolv.conf").read_text() == before

"""What programs in a qube get of the computer around them: no variables, resolver files apart.

Not covered: root in a qube that takes the files' mounts away. It is netchain's own root (on a lab
of the machine's root also the machine's): only programs of netchain run as it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_site import bare_chain
from commands import CHAIN, Netchain, until

from netchain.backends.base import Service, User
from netchain.backends.netns.backend import NetnsBackend
from netchain.model.chain import Chain
from netchain.model.names import QubeName

pytestmark = pytest.mark.lab
PROXIES = {
    name: "socks5h://192.0.2.77:1080"
    for base in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
    for name in (base, base.upper())
}
STARTED_WITH = {**PROXIES, "TOR_SOCKS_PORT": "9", "LD_PRELOAD": "", "RES_OPTIONS": "debug",
                "LOCALDOMAIN": "corp.example", "HOSTALIASES": "/nonexistent"}  # fmt: skip
GATEWAY, WORKSTATION = QubeName("sys-whonix"), QubeName("anon-whonix")
FILES = ("/etc/resolv.conf", "/etc/hosts")


@pytest.fixture
def backend(
    chain: Chain, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NetnsBackend]:
    """Its keeper is started by somebody with proxies and resolver options in the environment."""
    for name, value in STARTED_WITH.items():
        monkeypatch.setenv(name, value)
    with bare_chain(chain, tmp_path_factory.mktemp("s"), monkeypatch) as backend:
        yield backend


def run(backend: NetnsBackend, chain: Chain, qube: QubeName, *argv: str, user: User) -> str:
    return backend.execute(chain, qube, argv, timeout=20, user=user).stdout.decode()


def names(environment: str) -> set[str]:
    """But for what a shell adds."""
    found = {line.partition("=")[0] for line in environment.splitlines()}
    return found - {"PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize("user", User)
def test_a_program_gets_nothing_of_the_environment_that_the_keeper_was_started_in(
    chain: Chain, backend: NetnsBackend, user: User
) -> None:
    for qube in chain.qubes:
        assert names(run(backend, chain, qube.name, "env", user=user)) == {"PATH"}


def test_a_service_gets_its_own_variables_only(chain: Chain, backend: NetnsBackend) -> None:
    script = "env > /run/surroundings; exec sleep infinity"
    service = Service("probe", ("sh", "-c", script), environment={"OWN": "1"})
    backend.start_service(chain, GATEWAY, service)

    def seen() -> set[str]:
        shown = ("sh", "-c", "cat /run/surroundings || true")
        return names(run(backend, chain, GATEWAY, *shown, user=User.ROOT))

    assert until(lambda: "OWN" in seen(), 10)
    assert seen() == {"OWN", "PATH"}


def test_exec_keeps_proxies_out_of_the_qube(up: Netchain, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME comes along, as a control; a program in the qube still reaches the page through tor."""
    for name, value in STARTED_WITH.items():
        monkeypatch.setitem(up.environment, name, value)
    monkeypatch.setitem(up.environment, "HOME", "/nonexistent")
    found = names(up("exec", CHAIN, "--", "env").stdout)
    assert found.isdisjoint(STARTED_WITH)
    assert "HOME" in found
    assert "seen_from" in up.page()


@pytest.mark.parametrize("file", FILES)
def test_a_resolver_file_that_a_qube_writes_is_its_own(
    chain: Chain, backend: NetnsBackend, file: str
) -> None:
    """Not another qube's and not the machine's."""
    machine = Path(file).read_bytes()
    before = {q.name: run(backend, chain, q.name, "cat", file, user=User.ROOT)
              for q in chain.qubes}  # fmt: skip
    script = 'echo "# written in a qube" >> "$0"'
    run(backend, chain, WORKSTATION, "sh", "-c", script, file, user=User.ROOT)
    after = {q.name: run(backend, chain, q.name, "cat", file, user=User.ROOT) for q in chain.qubes}
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [WORKSTATION]
    assert "written in a qube" in after[WORKSTATION]
    assert Path(file).read_bytes() == machine


@pytest.mark.parametrize("user", [User.PERSON, User.TOR])
@pytest.mark.parametrize("file", FILES)
def test_a_program_of_no_power_cannot_write_a_resolver_file(
    chain: Chain, backend: NetnsBackend, file: str, user: User
) -> None:
    if not backend.uids().proved:
        pytest.skip("one uid for all: the file is its own (docs/known-issues.md)")
    before = run(backend, chain, WORKSTATION, "cat", file, user=User.ROOT)
    for script in ('echo x >> "$0"', 'rm -f "$0"', 'mv "$0" "$0.old"', 'umount "$0"'):
        done = backend.execute(chain, WORKSTATION, ["sh", "-c", script, file], user=user)
        assert done.status != 0, script
    assert run(backend, chain, WORKSTATION, "cat", file, user=User.ROOT) == before


def test_files_of_named_namespaces_are_not_used(chain: Chain, backend: NetnsBackend) -> None:
    """/etc/netns is ip-netns(8)'s: a qube is no namespace with a name, and none is listed."""
    for qube in chain.qubes:
        listed = run(backend, chain, qube.name, "ip", "netns", "list", user=User.ROOT)
        assert listed == ""
        hosts = "test ! -e /run/netns && echo none"
        assert run(backend, chain, qube.name, "sh", "-c", hosts, user=User.ROOT) == "none\n"

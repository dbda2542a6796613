"""scripts/setup: while it installs nothing may start, and afterwards the machine is as before."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from netchain.resources import data_dir

ROOT = data_dir()
SCRIPTS = [
    path
    for path in (*sorted((ROOT / "scripts").glob("*")), ROOT / ".ci" / "run")
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/bash")
]
BEFORE = "#!/bin/sh\n# the administrator's own\nexit 0\n"
APT_GET = """\
#!/bin/bash
echo "apt-get $*" >>"$LOG"
[[ " $* " == *" install "* ]] || exit 0
"$POLICY" tor start && status=0 || status=$?
echo "policy $status" >>"$LOG"
if [[ -n ${WAIT:-} ]]; then
	echo waiting >>"$LOG"
	read -r -t 20 <>"$WAIT" || true
fi
exit "${APT_STATUS:-0}"
"""
SYSTEMCTL = """\
#!/bin/bash
echo "systemctl $*" >>"$LOG"
if [[ $1 == list-unit-files ]]; then
	printf '%s\\n' "ssh.service enabled enabled" "nftables.service disabled enabled"
fi
exit "${SYSTEMCTL_STATUS:-0}"
"""


class Machine:
    """Stand-ins for apt-get and systemctl on PATH, and a policy-rc.d of its own."""

    def __init__(self, directory: Path) -> None:
        self.policy = directory / "policy-rc.d"
        self._log = directory / "log"
        self._log.touch()
        self._bin = directory / "bin"
        self._bin.mkdir()
        for name, text in (("apt-get", APT_GET), ("systemctl", SYSTEMCTL)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        self.environment = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "LOG": str(self._log),
            "POLICY": str(self.policy),
        }

    def words(self, function: str, *arguments: str) -> list[str]:
        """A shell that has setup's functions, this policy-rc.d, and calls one of them."""
        script = f'source {ROOT}/scripts/setup; policy=$POLICY; {function} "$@"'
        return ["bash", "-c", script, "setup", *arguments]

    def call(self, function: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(function, *arguments),
            env=self.environment | more, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_and_executable(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()


def test_all_scripts_are_looked_at() -> None:
    assert {path.name for path in SCRIPTS} >= {"setup", "test", "demo", "bench", "run"}


def test_no_service_may_start_while_it_installs(machine: Machine) -> None:
    done = machine.call("install_packages", "tor", "unbound")
    assert done.returncode == 0, done.stderr
    assert "policy 101" in machine.log
    install = next(line for line in machine.log if " install " in line)
    assert install.endswith(" tor unbound")
    assert "--no-install-recommends" in install
    assert not machine.policy.exists()


def test_only_new_units_are_masked_and_before_the_installation(machine: Machine) -> None:
    done = machine.call("install_packages", "tor")
    masked = [line.split()[1:] for line in machine.log if line.startswith("systemctl mask")]
    assert len(masked) == 1
    assert {"tor.service", "tor@default.service", "unbound.service"} <= set(masked[0])
    assert "nftables.service" not in masked[0]  # there before
    position = {line.split()[0] + line.split()[1]: n for n, line in enumerate(machine.log)}
    assert position["systemctlmask"] < position["policy101"]
    assert done.stderr.count("masked") == 1


@pytest.mark.parametrize("arrangement", ["file", "link", "none"])
@pytest.mark.parametrize("failure", [{}, {"APT_STATUS": "100"}, {"SYSTEMCTL_STATUS": "1"}])
def test_policy_is_put_back(machine: Machine, arrangement: str, failure: dict[str, str]) -> None:
    elsewhere = machine.policy.with_name("elsewhere")
    elsewhere.write_text(BEFORE)
    elsewhere.chmod(0o755)
    if arrangement == "file":
        machine.policy.write_text(BEFORE)
    elif arrangement == "link":
        machine.policy.symlink_to(elsewhere)
    done = machine.call("install_packages", "tor", **failure)
    assert bool(done.returncode) == bool(failure)
    assert machine.policy.exists() == (arrangement != "none")
    assert machine.policy.is_symlink() == (arrangement == "link")
    assert elsewhere.read_text() == BEFORE
    if arrangement != "none":
        assert machine.policy.read_text() == BEFORE
    assert not machine.policy.with_name("policy-rc.d.before-netchain").exists()


def test_what_cannot_be_masked_is_not_installed(machine: Machine) -> None:
    machine.call("install_packages", "tor", SYSTEMCTL_STATUS="1")
    assert not [line for line in machine.log if " install " in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_policy_is_put_back_when_stopped(machine: Machine, number: signal.Signals) -> None:
    machine.policy.write_text(BEFORE)
    pipe = machine.policy.with_name("wait")
    os.mkfifo(pipe)
    process = _start(machine.words("install_packages", "tor"), {"WAIT": str(pipe)}, machine)
    _await(machine, "waiting", process)
    assert machine.policy.read_text().endswith("exit 101\n")
    os.killpg(process.pid, number)
    assert process.wait(20) != 0
    assert machine.policy.read_text() == BEFORE


def test_policy_of_a_killed_run_is_put_back_by_the_next(machine: Machine) -> None:
    machine.policy.write_text(BEFORE)
    pipe = machine.policy.with_name("wait")
    os.mkfifo(pipe)
    process = _start(machine.words("install_packages", "tor"), {"WAIT": str(pipe)}, machine)
    _await(machine, "waiting", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    assert machine.policy.read_text() != BEFORE
    assert machine.call("install_packages", "tor").returncode == 0
    assert machine.policy.read_text() == BEFORE


def test_policy_of_somebody_else_is_left_alone(machine: Machine) -> None:
    machine.policy.write_text(BEFORE)
    assert machine.call("open_policy").returncode == 0
    assert machine.policy.read_text() == BEFORE


def test_without_root_it_says_what_to_install(machine: Machine) -> None:
    script = (
        f"source {ROOT}/scripts/setup; as_root() {{ return 1; }}; "
        "missing_packages() { echo tor; echo unbound; }; need_packages"
    )
    done = subprocess.run(
        ["bash", "-c", script], env=machine.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("apt-get install tor unbound")


def _start(words: Sequence[str], more: dict[str, str], machine: Machine) -> subprocess.Popen[bytes]:
    """In a process group of its own, as a terminal would have it for Ctrl-C."""
    return subprocess.Popen(
        words, env=machine.environment | more, start_new_session=True,
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def _await(machine: Machine, line: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while line not in machine.log:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)  # a bounded poll of a file that the stand-in writes

"""Runs a test as PID 1 of namespaces of its own, so that nothing of it can stay or get out.

Theory of operation: a test is called in a child process that has made itself a user namespace with
one uid (no root needed) and, in that, network, mount, PID, IPC and UTS namespaces. What it makes
there (links, rules, mounts, programs) is taken down by the kernel when it ends: a test cleans up
nothing. Its outcome comes back through a pipe, whose end says that every process is gone.

All of a test runs on one CPU, where a veth keeps the order of what was sent through it: when a
packet has arrived, everything that was sent before it on the same way has arrived or is dropped.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from netchain.backends.netns import syscalls

DEADLINE_S = 30.0
_TEST_S, _POLL_S = 60.0, 0.002
_PR_SET_PDEATHSIG, _MNT_DETACH = 1, 2
_SPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
)  # fmt: skip


def run(test: Callable[[], None]) -> None:
    """Call `test` in a sandbox; its failure or its skip is this function's."""
    report, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 and later: other tests may have threads. The child uses nothing of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        outer = os.fork()
    if outer == 0:
        _enter_and_call(test, tell)
    os.close(tell)
    try:
        outcome, text = _outcome(report)
    finally:
        os.kill(outer, signal.SIGKILL)  # PID 1 dies with it; mostly both are gone already
        os.waitpid(outer, 0)
        os.close(report)
    if outcome == "skipped":
        pytest.skip(text)
    if outcome != "passed":
        pytest.fail(text, pytrace=False)


def _outcome(report: int) -> tuple[str, str]:
    """What the test said, once all its processes are gone."""
    deadline, said = time.monotonic() + _TEST_S, b""
    while select.select([report], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(report, 1 << 16)
        if not data:
            outcome, text = json.loads(said or b'["failed", "the test ended without a word"]')
            return outcome, text
        said += data
    return "failed", f"the test did not end in {_TEST_S:.0f} s"


def _enter_and_call(test: Callable[[], None], tell: int) -> NoReturn:
    try:
        unshare_user()
        syscalls.unshare(_SPACES)
        inner = os.fork()
        if inner == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(tell, json.dumps(_call(test)).encode())
        else:
            os.close(tell)
            os.waitpid(inner, 0)
    except BaseException as error:
        os.write(tell, json.dumps(["failed", f"no sandbox: {error!r}"]).encode())
    os._exit(0)


def _call(test: Callable[[], None]) -> tuple[str, str]:
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV)
        syscalls.mount("tmpfs", "/run", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV)
        test()
    except pytest.skip.Exception as skipped:
        return "skipped", str(skipped)
    except BaseException as error:
        return "failed", str(pytest.ExceptionInfo.from_exception(error).getrepr(style="short"))
    return "passed", ""


def unshare_user(inside: int = 0) -> None:
    """A new user namespace, in which the caller has all capabilities and the uid `inside`."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {gid} 1")


def umount(target: str) -> None:
    """umount2(2) with MNT_DETACH. OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(target.encode(), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), f"umount {target}")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as `condition` holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(_POLL_S)


def refusal(action: Callable[[], object]) -> str:
    """The name of the error with which the kernel refuses an action; "" when it does not."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def in_child(function: Callable[[], str]) -> str:
    """Call `function` in a child process, which may change what it is; what it returned."""
    result, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(tell, function().encode())
        except BaseException as error:
            os.write(tell, f"raised {error!r}".encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(result, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(child, 0)
    return text

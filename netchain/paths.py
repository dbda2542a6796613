"""Where files live on this machine (docs/cli.md, "Files and environment"). All directories 0700.

NETCHAIN_STATE_DIR and NETCHAIN_CONFIG_DIR move everything, for tests and for trying things out.
"""

from __future__ import annotations

import os
from pathlib import Path

from netchain.errors import NetchainError, Problem

_OPEN = "others can write to this directory"
_OWN = "name a directory of your own with NETCHAIN_STATE_DIR"


def runtime_dir() -> Path:
    """Sockets, locks and logs: gone after a reboot."""
    if "NETCHAIN_STATE_DIR" in os.environ:
        return _made(state_dir() / "run")
    if os.geteuid() == 0:
        return _made(Path("/run/netchain"))
    base = os.environ.get("XDG_RUNTIME_DIR")
    return _made(Path(base, "netchain") if base else Path(f"/tmp/netchain-{os.geteuid()}"))  # noqa: S108


def state_dir() -> Path:
    """What must outlive a reboot: Tor's data directories, the lab's keys, saved runs."""
    if "NETCHAIN_STATE_DIR" in os.environ:
        return _made(Path(os.environ["NETCHAIN_STATE_DIR"]))
    if os.geteuid() == 0:
        return _made(Path("/var/lib/netchain"))
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return _made(Path(base, "netchain"))


def profile_dirs() -> tuple[Path, ...]:
    """Where profiles are looked for: the user's, then the system's.

    Raises NetchainError (E002) when everybody could put a chain there under a name of ours.
    """
    if "NETCHAIN_CONFIG_DIR" in os.environ:
        return (_closed(Path(os.environ["NETCHAIN_CONFIG_DIR"], "chains")),)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return (_closed(Path(base, "netchain", "chains")), _closed(Path("/etc/netchain/chains")))


def unit_dir() -> Path:
    """Where systemd looks for the units of an administrator, or of a user (not ours alone)."""
    if "NETCHAIN_UNIT_DIR" in os.environ:
        return Path(os.environ["NETCHAIN_UNIT_DIR"])
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    base = os.environ.get("XDG_CONFIG_HOME")
    return Path(base or Path.home() / ".config", "systemd", "user")


def _closed(path: Path) -> Path:
    """Group members may write: many systems give each user a group of their own."""
    if path.is_dir() and path.stat().st_mode & 0o002:
        raise _refused(path, _OPEN, f"chmod o-w {path}")
    return path


def _made(path: Path) -> Path:
    """The directory, made 0700.

    Raises NetchainError (E002) when it is no directory or belongs to somebody else, OSError when
    it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(path, "this is not a directory") from error
    # A link that somebody else made could be turned to another place at any time.
    if {path.stat().st_uid, path.lstat().st_uid} != {os.geteuid()}:
        raise _refused(path, "this directory belongs to another user")
    if path.stat().st_mode & 0o022:
        raise _refused(path, _OPEN)
    return path


def _refused(path: Path, title: str, hint: str = _OWN) -> NetchainError:
    return NetchainError(Problem("E002", title, str(path), help=hint))

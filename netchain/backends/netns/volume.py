"""What a qube has of its own as a node, and what it must not see of the machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from netchain import paths
from netchain.model.chain import Chain, Qube
from netchain.model.names import QubeName
from netchain.model.sysctls import sysctls

VOLUME = PurePosixPath("/run/rw")
_SHARED = ("/run", "/tmp")  # noqa: S108 - other programs' sockets are there


def spec(chain: Chain, qube: Qube) -> dict[str, Any]:
    """What nodes.create is given for the qube; a disposable's volume ends with it."""
    own: dict[str, Any] = {"fresh": [str(VOLUME)]}
    if not qube.dispid:
        own = {"binds": {str(VOLUME): str(private_volume(chain, qube.name))}}
    return {
        "hostname": qube.name,
        "role": qube.role,
        "sysctls": sysctls(qube.role),
        "hide": [*_SHARED, str(paths.runtime_dir()), str(paths.state_dir())],
        **own,
    }


def private_volume(chain: Chain, qube: QubeName) -> Path:
    """The qube's own directory on this machine, kept between runs (Qubes' /rw)."""
    directory = paths.state_dir() / "chains" / chain.name / qube
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)  # tor's own user must reach its part; the state directory is 0700
    return directory

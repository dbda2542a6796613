"""wireguard-go's own conventions: the TUN descriptor that it is handed, and what it needs.

Until 0.0.20220316 it wants the packet information header (measured); later ones (TUN offload,
2023) read the flags of the descriptor and want none (by reading; docs/known-issues.md).
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

from netchain.errors import NetchainError, missing

IFF_NO_PI, IFF_VNET_HDR = 0x1000, 0x4000
_FIRST_WITH_OFFLOAD = 20230223


@cache
def tun_flags() -> int:
    """Flags beside IFF_TUN for the version on PATH; 0 when there is none to ask."""
    try:
        words = subprocess.run(
            ["wireguard-go", "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"v0\.0\.(\d{8})", words)
    if version is None or int(version[1]) < _FIRST_WITH_OFFLOAD:
        return 0
    return IFF_NO_PI | IFF_VNET_HDR


def tun_problem() -> NetchainError | None:
    """Why wireguard-go could have no tunnel here: /dev/net/tun is not there or not open to us.

    None where the kernel speaks WireGuard itself, since then none is needed.
    """
    device = Path("/dev/net/tun")
    if Path("/sys/module/wireguard").exists():
        return None
    if not device.exists():
        return missing("E031", f"there is no {device}", "modprobe tun")
    if os.access(device, os.R_OK | os.W_OK):
        return None
    mode = f"{device.stat().st_mode & 0o777:04o}"
    fix = f"as root: chmod 0666 {device} (as udev does), or run netchain as root"
    return missing("E031", f"{device} is not open to you (mode {mode})", fix)

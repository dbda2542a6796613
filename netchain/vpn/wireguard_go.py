"""wireguard-go's own conventions: the flags of the TUN descriptor that it is handed.

Until 0.0.20220316 it wants the packet information header (measured); later ones (TUN offload,
2023) read the flags of the descriptor and want none (by reading; docs/known-issues.md).
"""

from __future__ import annotations

import re
import subprocess
from functools import cache

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

"""The systemd unit that brings a chain up at boot (pure): its text, its name, whether it is ours.

The unit's main process is `netchain.boot`: it says ready only when the chain is proved, mends an
uplink that ends, and takes the chain down when the unit is stopped. Keeper and guard live in the
unit: where the main process is killed or fails, systemd ends them, too, and the chain is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from netchain.errors import Exit
from netchain.model.names import ChainName

MARK = (
    "# Written by `netchain enable`. `netchain disable` takes it away, if this line is still here."
)
_START_S = 600
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FINAL = (Exit.USAGE, Exit.REFUSED, Exit.MISSING, Exit.LEAK)
"""What trying again does not mend; after a leak nobody tries again but a person."""
_HARDENING = """\
# Nothing that covers a part of /proc or /sys (ProtectKernelTunables, ProtectControlGroups): then
# no user namespace may have its own. With ProtectHostname no qube would have a name.
NoNewPrivileges=yes
ProtectSystem=full
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET"""
_USERS = """\
# Nothing that implies NoNewPrivileges: newuidmap(1), which is setuid, maps the subordinate uids."""


def name(chain: ChainName) -> str:
    return f"netchain-{chain}.service"


def wanted_by(*, is_root: bool) -> str:
    return "multi-user.target" if is_root else "default.target"


def text(
    chain: ChainName, python: str, profile: str, environment: Mapping[str, str], *, is_root: bool
) -> str:
    """The whole unit; `profile` is what `netchain up` would be told, a path or a name.

    ValueError for words that no unit can hold.
    """
    run = (python, "-I", "-m")
    lines = [
        MARK,
        "[Unit]",
        f"Description=netchain: the chain {chain}, closed until it is proved",
        *(("Wants=network-online.target", "After=network-online.target") if is_root else ()),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={_command((*run, 'netchain.boot', profile))}",
        f"ExecStopPost={_command((*run, 'netchain', 'down', profile))}",
        f"TimeoutStartSec={_START_S}",
        "TimeoutStopSec=60",
        "KillMode=mixed",
        "Restart=on-failure",
        "RestartSec=10",
        f"RestartPreventExitStatus={' '.join(str(int(code)) for code in _FINAL)}",
        *_environment({"PATH": _PATH, **environment}),
        "UMask=0077",
        _HARDENING if is_root else _USERS,
        "",
        "[Install]",
        f"WantedBy={wanted_by(is_root=is_root)}",
    ]
    return "".join(f"{line}\n" for line in lines)


def is_ours(unit: str) -> bool:
    return unit.startswith(MARK)


def _environment(values: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        yield f"Environment={_quoted(f'{key}={value}')}"


def _command(words: Sequence[str]) -> str:
    """In a command `$` would be a variable's name (systemd.service(5))."""
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _quoted(word: str) -> str:
    """As systemd.syntax(7) reads it back, specifiers too."""
    if not word.isprintable():
        raise ValueError(f"{word!r} cannot be in a unit")
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if set(word) & set(" ';\"\\") else word

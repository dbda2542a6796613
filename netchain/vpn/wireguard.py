"""WireGuard: a typed configuration, what `wg setconf` is given, and how readiness is asked.

Keys reach wg(8) through standard input only. The device's own socket carries a firewall mark,
which is all that the VPN qube's rules let out (wg(8), FwMark).
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from netchain.backends.base import Command, Service, Tunnel
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.addressing import TUNNEL
from netchain.model.chain import Address, Endpoint, VpnSettings
from netchain.vpn.secret import Secret

FWMARK = 0x6E63
SERVICE = "wireguard"
_KEEPALIVE_S = 25
_KEYS = ("type", "private_key_file", "public_key", "endpoint", "addresses", "dns", "mtu", "pinned")
_SHOW_HANDSHAKES = ("wg", "show", TUNNEL, "latest-handshakes")


@dataclass(frozen=True)
class WireGuard:
    """One provider's configuration; `public_key` is the provider's."""

    settings: VpnSettings
    private_key: Secret
    public_key: str

    def tunnel(self) -> Tunnel:
        return Tunnel(TUNNEL, self.settings.addresses, self.settings.mtu)

    def setconf(self) -> bytes:
        """What `wg setconf wg0 /dev/stdin` reads (wg(8), CONFIGURATION FILE FORMAT)."""
        endpoint = self.settings.endpoint
        host = str(endpoint.address) if endpoint.address.version == 4 else f"[{endpoint.address}]"
        return (
            f"[Interface]\nPrivateKey = {self.private_key.reveal()}\nFwMark = {FWMARK:#x}\n"
            f"[Peer]\nPublicKey = {self.public_key}\nEndpoint = {host}:{endpoint.port}\n"
            f"AllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = {_KEEPALIVE_S}\n"
        ).encode()


def configure(setconf: bytes) -> Command:
    """The command that gives the device its configuration."""
    return Command(("wg", "setconf", TUNNEL, "/dev/stdin"), setconf)


def userspace_service(setconf: bytes) -> Service:
    """wireguard-go on the tunnel that the keeper holds, configured after every start."""
    argv = ("wireguard-go", "-f", TUNNEL)
    return Service(SERVICE, argv, setup=(configure(setconf),), tunnel=TUNNEL,
                   environment={"LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"})  # fmt: skip


def handshake_command() -> tuple[str, ...]:
    """Prints each peer's public key and the time of its last handshake."""
    return _SHOW_HANDSHAKES


def last_handshake(output: bytes) -> int:
    """Seconds since 1970 of the last handshake; 0 when there was none."""
    times = [int(line.split(b"\t")[1]) for line in output.splitlines() if b"\t" in line]
    return max(times, default=0)


def load(path: Path) -> WireGuard:
    """The configuration in a TOML file of ours (docs/profiles.md).

    Raises NetchainError (exit 2) with all problems; a key itself is never quoted.
    """
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NetchainError(
            Problem("E040", f"cannot read the VPN configuration: {error}", str(path)), Exit.USAGE
        ) from error
    return _Reader(path, data).read()


class _Reader:
    """Checks one configuration; every problem is kept."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self._path, self._data = path, data
        self._problems: list[Problem] = []

    def _bad(self, code: str, title: str, key: str, value: str, accepted: str) -> None:
        where = f"{self._path}: {key}"
        self._problems.append(Problem(code, title, where, value, accepted))

    def read(self) -> WireGuard:
        for key in self._data:
            if key not in _KEYS:
                self._bad("E012", "unknown key", key, repr(key), ", ".join(_KEYS))
        if self._data.get("type") != "wireguard":
            self._bad("E040", "unknown type", "type", repr(self._data.get("type")), '"wireguard"')
        private, public = self._private_key(), self._public_key()
        endpoint = self._endpoint()
        addresses = self._addresses("addresses", required=True)
        dns = self._addresses("dns", required=False)
        mtu = self._data.get("mtu", 1420)
        if not isinstance(mtu, int) or not 1280 <= mtu <= 9000:
            self._bad("E042", "this is not an MTU", "mtu", repr(mtu), "1280 to 9000 (bytes)")
        if self._problems or endpoint is None:
            raise NetchainError(self._problems, Exit.USAGE)
        settings = VpnSettings("wireguard", endpoint, addresses, dns, mtu)
        return WireGuard(settings, Secret(private), public)

    def _private_key(self) -> str:
        name = self._data.get("private_key_file")
        if not isinstance(name, str):
            self._bad("E041", "the key file is missing", "private_key_file", repr(name), "a path")
            return ""
        file = self._path.parent / name
        try:
            key = file.read_text().strip()
            if file.stat().st_mode & 0o077:
                mode = f"{file.stat().st_mode & 0o777:04o}"
                self._bad("E041", "others can read the key", name, mode, "mode 0600")
        except (OSError, UnicodeDecodeError) as error:
            self._bad("E041", f"cannot read the key file: {error}", name, "", "a readable file")
            return ""
        if not is_key(key):
            self._bad(
                "E041",
                "this is not a WireGuard key",
                name,
                f"(hidden, {len(key)} characters)",
                'a key has 44 characters, the last "="',
            )
        return key  # fmt: skip

    def _public_key(self) -> str:
        key = self._data.get("public_key")
        if not isinstance(key, str) or not is_key(key):
            shown = f"({len(key)} characters)" if isinstance(key, str) else repr(key)
            self._bad("E041", "this is not a WireGuard key", "public_key", shown,
                      'a key has 44 characters, the last "="')  # fmt: skip
        return str(key)

    def _endpoint(self) -> Endpoint | None:
        text = self._data.get("endpoint")
        accepted = "ADDRESS:PORT or [IPv6]:PORT, a number, never a host name"
        host, _, port = str(text).rpartition(":")
        try:
            address = ip_address(host.removeprefix("[").removesuffix("]"))
            if (address.version == 6) != host.startswith("["):
                raise ValueError
            number = int(port) if port.isascii() and port.isdigit() else 0
            if not 1 <= number <= 65535 or address.is_multicast or address.is_unspecified:
                raise ValueError
        except ValueError:
            self._bad("E043", "this is not an endpoint", "endpoint", repr(text), accepted)
            return None
        return Endpoint(address, number)

    def _addresses(self, key: str, *, required: bool) -> tuple[Address, ...]:
        values = self._data.get(key, [])
        accepted = "a list of IPv4 and IPv6 addresses"
        found: list[IPv4Address | IPv6Address] = []
        if not isinstance(values, list) or (required and not values):
            self._bad("E043", "addresses are missing", key, repr(values), accepted)
            return ()
        for value in values:
            try:
                found.append(ip_address(str(value).partition("/")[0]))
            except ValueError:
                self._bad("E043", "this is not an address", key, repr(value), accepted)
        return tuple(found)


def is_key(text: str) -> bool:
    """Whether it is 32 bytes in base64, as wg(8) prints keys."""
    try:
        return len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False

"""WireGuard: a typed configuration, what `wg setconf` is given, and how readiness is asked.

Keys reach wg(8) through standard input only. The device's own socket carries a firewall mark,
which is all that the VPN qube's rules let out (wg(8), FwMark).
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from pathlib import Path
from typing import Any

from netchain import files
from netchain.backends.base import Command, Service, Tunnel
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.addressing import TUNNEL
from netchain.model.chain import Address, Endpoint, VpnSettings
from netchain.vpn.secret import Secret

FWMARK = 0x6E63
SERVICE = "wireguard"
_KEEPALIVE_S = 25
_KEYS = ("type", "private_key_file", "public_key", "endpoint", "addresses", "dns", "mtu", "pinned")
_A_KEY = 'a key has 44 characters, the last "="'
_ENDPOINT = re.compile(r"(\[(?P<v6>[^]]+)]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
SESSION_S = 180
"""A session is dead this many seconds after its handshake (REJECT_AFTER_TIME, WireGuard white
paper, section 6.1); one that lives makes a new handshake before."""
_FIT_AND_CONFIGURE = (
    'wg show "$0" fwmark && ip link set dev "$0" mtu "$1" && exec wg setconf "$0" /dev/stdin'
)
_SHOW_HANDSHAKES = ("wg", "show", TUNNEL, "latest-handshakes")
_SHOW_TRANSFER = ("wg", "show", TUNNEL, "transfer")


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


def userspace_service(setconf: bytes, mtu: int) -> Service:
    """wireguard-go on the tunnel that the keeper holds, configured after every start.

    It gives the tunnel 1420 bytes, whatever that had, before it answers for the first time
    (tun_linux.go, CreateTUNFromFile). That is put right before it has a peer to send to: a flow
    that began with the wrong size would keep it.
    """
    argv = ("wireguard-go", "-f", TUNNEL)
    setup = Command(("sh", "-c", _FIT_AND_CONFIGURE, TUNNEL, str(mtu)), setconf)
    return Service(SERVICE, argv, setup=(setup,), tunnel=TUNNEL,
                   environment={"LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"})  # fmt: skip


def handshake_command() -> tuple[str, ...]:
    """Prints each peer's public key and the time of its last handshake."""
    return _SHOW_HANDSHAKES


def last_handshake(output: bytes) -> int:
    """Seconds since 1970 of the last handshake; 0 when there was none."""
    times = [int(line.split(b"\t")[1]) for line in output.splitlines() if b"\t" in line]
    return max(times, default=0)


def transfer_command() -> tuple[str, ...]:
    """Prints each peer's public key and the bytes received and sent."""
    return _SHOW_TRANSFER


def transferred(output: bytes) -> tuple[int, int]:
    """Bytes that came and bytes that went, of all peers."""
    rows = [line.split(b"\t")[1:3] for line in output.splitlines() if line.count(b"\t") == 2]
    return sum(int(came) for came, _ in rows), sum(int(went) for _, went in rows)


def load(path: Path) -> WireGuard:
    """The configuration in a TOML file of ours (docs/profiles.md).

    Raises NetchainError (exit 2) with all problems; nothing that may be a key is ever quoted.
    """
    try:
        data = tomllib.loads(files.read(path).text)
    except OSError as error:
        title = f"cannot read the VPN configuration: {error.strerror}"
        raise NetchainError(Problem("E040", title, _escaped(path)), Exit.USAGE) from error
    except (ValueError, RecursionError) as error:
        # Only the place is taken from tomllib's words: they can quote what the file holds.
        place = re.search(r"\((at [a-z0-9 ,]+)\)$", str(error))
        title = "the VPN configuration is not TOML" + (f" ({place[1]})" if place else "")
        problem = Problem("E040", title, _escaped(path), help="the format is in docs/profiles.md")
        raise NetchainError(problem, Exit.USAGE) from None
    return _Reader(path, data).read()


def _escaped(text: object) -> str:
    return repr(str(text))[1:-1]


def _shown(value: object) -> str:
    """The value as it may be printed, escaped and short; hidden where a key may be in it.

    A key, also a damaged one, is many characters of base64 in a row. Some long names are hidden,
    too: the file and the key path say where to look.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number or a nesting past Python's limits
        return f"a {type(value).__name__} that is too long to print"
    if re.search(r"[A-Za-z0-9+/]{20}", text):
        return f"(hidden, {len(value) if isinstance(value, str) else len(text)} characters)"
    return text[:80]


def _name(text: str) -> str:
    return _shown(text).strip("'\"")


class _Reader:
    """Checks one configuration; every problem is kept."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self._path, self._data = path, data
        self._problems: list[Problem] = []

    def _bad(
        self, code: str, title: str, key: str, value: str, accepted: str, hint: str = ""
    ) -> None:
        where = f"{_escaped(self._path)}: {key}"
        self._problems.append(Problem(code, title, where, value, accepted, hint))

    def read(self) -> WireGuard:
        self._unknown()
        if self._data.get("type") != "wireguard":
            self._bad("E040", "unknown type", "type", _shown(self._data.get("type")), '"wireguard"')
        private, public = self._private_key(), self._public_key()
        endpoint = self._endpoint()
        addresses = self._addresses("addresses", required=True)
        dns = self._addresses("dns", required=False)
        mtu = self._data.get("mtu", 1420)
        if type(mtu) is not int or not 1280 <= mtu <= 9000:
            self._bad("E042", "this is not an MTU", "mtu", _shown(mtu), "1280 to 9000 (bytes)")
        if self._problems or endpoint is None:
            raise NetchainError(self._problems, Exit.USAGE)
        settings = VpnSettings("wireguard", endpoint, addresses, dns, mtu)
        return WireGuard(settings, Secret(private), public)

    def _unknown(self) -> None:
        for key in self._data:
            if key not in _KEYS:
                close = get_close_matches(key.lower(), _KEYS, n=1)
                hint = f"did you mean {close[0]}?" if close else ""
                self._bad("E012", "unknown key", _name(key), _name(key), ", ".join(_KEYS), hint)

    def _private_key(self) -> str:
        """The key in the file; "" with a problem when there is none."""
        name, key = self._data.get("private_key_file"), "private_key_file"
        accepted = "the name of a file beside this one"
        if not isinstance(name, str) or not name:
            self._bad("E041", "the key file is missing", key, _shown(name), accepted)
            return ""
        if is_key(name):
            self._bad("E041", "this is a key, not a file's name", key, _shown(name), accepted)
            return ""
        try:
            file = (self._path.parent / name).resolve()
            if not file.is_relative_to(self._path.parent.resolve()):
                # Somebody else's profile must not use a key of mine that it was not given.
                title = "the key file is not in the directory of its configuration"
                self._bad("E041", title, key, _name(name), accepted)
                return ""
            text, mode = files.read(file)
        except (OSError, ValueError, RuntimeError) as error:
            words = error.strerror if isinstance(error, OSError) else "no file can have this name"
            self._bad("E041", f"cannot read the key file: {words}", key, _name(name), accepted)
            return ""
        if mode & 0o077:
            self._bad("E041", "others can read the key", _name(name), f"{mode:04o}", "mode 0600")
        text = text.strip()
        if not is_key(text):
            hidden = f"(hidden, {len(text)} characters)"
            self._bad("E041", "this is not a WireGuard key", _name(name), hidden, _A_KEY)
        return text

    def _public_key(self) -> str:
        key = self._data.get("public_key")
        if not isinstance(key, str) or not is_key(key):
            hidden = f"(hidden, {len(key)} characters)" if isinstance(key, str) else _shown(key)
            self._bad("E041", "this is not a WireGuard key", "public_key", hidden, _A_KEY)
        return str(key)

    def _endpoint(self) -> Endpoint | None:
        text = self._data.get("endpoint")
        accepted = "ADDRESS:PORT or [IPv6]:PORT, a number, never a host name"
        parts = _ENDPOINT.fullmatch(text) if isinstance(text, str) else None
        try:
            if parts is None:
                raise ValueError
            address = _unicast(ip_address(parts["v6"] or parts["v4"]))
            if (address.version == 6) != bool(parts["v6"]) or not 1 <= int(parts["port"]) <= 65535:
                raise ValueError
        except ValueError:
            self._bad("E043", "this is not an endpoint", "endpoint", _shown(text), accepted)
            return None
        return Endpoint(address, int(parts["port"]))

    def _addresses(self, key: str, *, required: bool) -> tuple[Address, ...]:
        """Addresses; the tunnel's own may have a length behind them, as providers write them."""
        values = self._data.get(key, [])
        accepted = "a list of IPv4 and IPv6 addresses"
        found: list[Address] = []
        if not isinstance(values, list) or (required and not values):
            self._bad("E043", "addresses are missing", key, _shown(values), accepted)
            return ()
        for value in values:
            try:
                if not isinstance(value, str):
                    raise ValueError
                address = ip_interface(value).ip if required else ip_address(value)
                found.append(_unicast(address))
            except ValueError:
                self._bad("E043", "this is not an address", key, _shown(value), accepted)
        if len(set(found)) != len(found):
            self._bad("E043", "an address is there twice", key, _shown(values), accepted)
        return tuple(found)


def _unicast(address: Address) -> Address:
    """The address, when it can be that of one host elsewhere; ValueError otherwise.

    A zone (`%eth0`) means nothing in another qube, an IPv6 form of an IPv4 address would be sent
    as the other family than the rules were made for.
    """
    bad = address.is_multicast or address.is_unspecified or address.is_loopback
    if isinstance(address, IPv6Address):
        bad = bad or bool(address.scope_id) or address.ipv4_mapped is not None
    else:
        bad = bad or address == IPv4Address("255.255.255.255")
    if bad or address.is_link_local:
        raise ValueError
    return address


def is_key(text: str) -> bool:
    """Whether it is 32 bytes in base64, as wg(8) prints keys."""
    try:
        raw = base64.b64decode(text, validate=True)
        return len(raw) == 32 and base64.b64encode(raw).decode() == text
    except (binascii.Error, ValueError):
        return False

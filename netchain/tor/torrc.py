"""sys-whonix' tor: its torrc, with the ports that Whonix uses (Whonix Dev/Whonix-Gateway).

TransPort 9040 and DNSPort 5300 take what the rules redirect to them; the SocksPorts isolate
streams (tor(1), SocksPort isolation flags), so that programs that use different ports do not share
a circuit. The control socket is a file inside the qube, never a port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import PurePosixPath

from netchain.backends.base import Service, User

SERVICE = "tor"
TRANS_PORT, DNS_PORT = 9040, 5300
SOCKS_PORTS = (9050, *range(9100, 9110), 9150)
VIRTUAL = IPv4Network("10.192.0.0/10")
"""What tor answers when it is asked for an onion name; only tor knows where it leads."""
_ISOLATION = "IsolateDestAddr IsolateDestPort"


def torrc(address: IPv4Address, data: PurePosixPath, extra: Iterable[str] = ()) -> str:
    """The torrc of a Tor gateway that answers its workstations on `address`."""
    lines = [
        f"DataDirectory {data}",
        f"Log notice file {data}/notices.log",
        f"ControlSocket {control_socket(data)}",
        "CookieAuthentication 0",
        "ClientOnly 1",
        "AvoidDiskWrites 0",
        f"VirtualAddrNetworkIPv4 {VIRTUAL}",
        "AutomapHostsOnResolve 1",
        f"TransPort {address}:{TRANS_PORT} {_ISOLATION}",
        f"DNSPort {address}:{DNS_PORT} {_ISOLATION}",
        *(f"SocksPort {address}:{port}{_flags(port)}" for port in SOCKS_PORTS),
        *extra,
    ]
    return "".join(f"{line}\n" for line in lines)


def _flags(port: int) -> str:
    """9050 and 9150 are for Tor Browser, which isolates by itself with SOCKS names."""
    return "" if port in (9050, 9150) else f" {_ISOLATION}"


def control_socket(data: PurePosixPath) -> PurePosixPath:
    return data / "control"


def service(data: PurePosixPath) -> Service:
    """tor as a supervised program, as tor's own user where the site has one.

    Until its log is open (a port that is taken, a bad torrc) tor speaks to standard output only;
    that goes to a file of the present start beside the log.
    """
    script = 'exec tor --defaults-torrc /dev/null -f "$0/torrc" --hush >"$0/start.log" 2>&1'
    return Service(SERVICE, ("sh", "-c", script, str(data)), User.TOR, owns=(data,))


def words_command(data: PurePosixPath) -> tuple[str, ...]:
    """Prints the end of all that tor said, at most 8 KiB of each file."""
    return ("tail", "-q", "-c", "8192", str(data / "notices.log"), str(data / "start.log"))


def last_words(output: str) -> str:
    """Tor's last two warnings of its present start, without their times; "" when it has none."""
    lines = re.findall(r"^.{10,30}? \[(notice|warn|err)] (.*)$", output, re.MULTILINE)
    starts = [i for i, (_, words) in enumerate(lines) if words.endswith("opening log file.")]
    recent = [words for level, words in lines[starts[-1] if starts else 0 :] if level != "notice"]
    telling = [words for words in recent if not words.startswith("Reading config failed")]
    shown = " / ".join(telling[-2:])
    return "".join(c for c in shown if c.isprintable())[:400]

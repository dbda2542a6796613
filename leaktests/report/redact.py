"""A report to give away: addresses become words, packets are left out (pure).

Theory of operation: the chain's own outside addresses get names (endpoint-1, uplink-1, router-1,
resolver-1, tunnel-1). Any other address becomes address-1 and so on, in the order in which the
report tells them, unless it is known to say nothing about anybody: the qubes' own range, those for
documentation, and the fixed ones of every network. Packets are left out as a whole, in hexadecimal
and as captures: an address could be anywhere in them, and be found again from a checksum.

What it does not hide: names of chain and qubes, ports, times, versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from leaktests.report.facts import Report, mapped
from netchain.model.addressing import QUBES4, QUBES6
from netchain.model.chain import Address, Chain

_KEPT4 = (
    QUBES4,
    *map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
    *map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/24", "255.255.255.255/32")),
)
_KEPT6 = (QUBES6, *map(IPv6Network, ("2001:db8::/32", "::/127", "ff02::/112")))
_RUN = re.compile(r"\[?(?P<run>[0-9A-Fa-f:.]{2,})(?P<zone>%\w+)?]?")
"""Where an address could be, with the brackets and the zone that belong to it."""
_HOME = re.compile(r"(?<!\w)/(?:home|Users)/[^/\s]+")


class Words:
    """Gives each address its word, the same one every time."""

    def __init__(self, chain: Chain) -> None:
        self._words: dict[Address, str] = {}
        self._others = 0
        for name, addresses in _own(chain):
            for number, address in enumerate(dict.fromkeys(addresses), 1):
                self._words.setdefault(address, f"{name}-{number}")

    def of(self, address: Address) -> str | None:
        """The word; None for an address that may be shown."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address not in self._words:
            kept: Iterable[IPv4Network | IPv6Network] = _KEPT4 if address.version == 4 else _KEPT6
            if any(address in network for network in kept):
                return None
            self._others += 1
            self._words[address] = f"address-{self._others}"
        return self._words[address]

    def hide(self, text: str) -> str:
        """The text with words for its addresses, and without names of home directories."""
        return _HOME.sub("~", _RUN.sub(self._hide_run, text))

    def _hide_run(self, match: re.Match[str]) -> str:
        """Words for every address in a run of digits, colons and dots."""
        run, shown, at = match["run"], "", 0
        while at < len(run):
            end, word = self._longest(run, at)
            shown += word or run[at:end]
            at = end
        if shown == run:
            return match[0]
        opened, closed = match[0].startswith("["), match[0].endswith("]")
        return shown if opened and closed else "[" * opened + shown + "]" * closed

    def _longest(self, run: str, at: int) -> tuple[int, str | None]:
        """Where the longest address from there on ends, and its word if it needs one; without an
        address where the next number begins."""
        ends = [n for n in range(len(run), at + 1, -1) if n == len(run) or run[n] in ":."]
        for end in ends:
            try:
                return end, self.of(ip_address(run[at:end]))
            except ValueError:
                continue
        separators = [n for n in range(at, len(run)) if run[n] in ":."]
        return (separators[0] + 1 if separators else len(run)), None


def redacted(report: Report, chain: Chain) -> Report:
    """The same report for others to read."""
    leaks = tuple(replace(leak, packets=()) for leak in report.leaks)
    return mapped(replace(report, leaks=leaks, redacted=True), Words(chain).hide)


def _own(chain: Chain) -> Iterator[tuple[str, list[Address]]]:
    """The chain's addresses outside, by what they are."""
    vpns = [qube.vpn.settings for qube in chain.qubes if qube.vpn and qube.vpn.settings]
    yield "endpoint", [vpn.endpoint.address for vpn in vpns]
    wan = chain.wan
    if wan is not None:
        yield "uplink", [a for a in (wan.address4, wan.address6) if a is not None]
        yield "router", [a for a in (wan.gateway4, wan.gateway6) if a is not None]
    yield "resolver", [address for vpn in vpns for address in vpn.dns]
    yield "tunnel", [address for vpn in vpns for address in vpn.addresses]

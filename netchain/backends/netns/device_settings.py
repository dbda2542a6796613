"""An interface's own sysctls (net/ipv4/conf/IFACE, net/ipv6/conf/IFACE) as a link dump tells them.

One request for all interfaces of a node: a chain of 500 qubes has 2,000, and reading 15 files of
each took more than a second. Numbers: linux/if_link.h (IFLA_AF_SPEC), ip.h (IPV4_DEVCONF_*, from 1)
and ipv6.h (DEVCONF_*, from 0); tests/platform/test_device_settings.py compares every one of them
with its file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6

from netchain.backends.netns.dumps import attributes

IPV4 = {
    "forwarding": 0, "accept_redirects": 3, "secure_redirects": 4, "send_redirects": 5,
    "rp_filter": 7, "accept_source_route": 8, "arp_announce": 17, "arp_ignore": 18,
}  # fmt: skip
IPV6 = {
    "forwarding": 0, "accept_ra": 3, "accept_redirects": 4, "autoconf": 5, "dad_transmits": 6,
    "router_solicitations": 7, "accept_source_route": 24, "addr_gen_mode": 47,
}  # fmt: skip
_PARTS = ((AF_INET, 1, "net/ipv4/conf", IPV4), (AF_INET6, 2, "net/ipv6/conf", IPV6))


def settings(interface: str, spec: bytes) -> Iterator[tuple[str, int]]:
    """Path below /proc/sys and value of each, of the interface's IFLA_AF_SPEC.

    Without IPv6 (or IPv4) there are none of it. OSError for what cannot be read as that.
    """
    families = attributes(spec)
    for family, conf, directory, numbers in _PARTS:
        if family not in families:
            continue
        values = attributes(families[family]).get(conf, b"")
        if len(values) <= 4 * max(numbers.values()):
            raise OSError(f"rtnetlink: {len(values)} bytes of settings of {interface}")
        for name, number in numbers.items():
            (value,) = struct.unpack_from("=i", values, 4 * number)
            yield f"{directory}/{interface}/{name}", value

"""What is otherwise in a node than netchain makes it, beside what `network_dump` tells (keeper's).

`network_dump` tells what links have that netchain wires. Here is the rest, of which a node has only
what the kernel makes by itself: interfaces that the keeper did not make, policy rules (ip rule),
routes of the local table or of the kernel's protocol that follow from no address, addresses of
loopback and link-local ones, queueing disciplines that somebody set (tc: they can redirect), and
sysctls, of each interface too. It is read raw: a message takes pyroute2 a hundred times as long.

Layouts: linux/rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, pkt_sched.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import Any

from netchain.backends.netns import nodes
from netchain.backends.netns.netlink import Netlink
from netchain.model.drift import Difference

_REQUEST_DUMP = 0x301
_GETLINK, _GETADDR, _GETROUTE, _GETRULE, _GETQDISC = 18, 22, 26, 34, 38
_LOCAL, _KERNEL = 255, 2
_UNICAST, _RTN_LOCAL, _BROADCAST, _MULTICAST = 1, 2, 3, 5
_POLICIES = {
    AF_INET: {(0, 255): "local", (32766, 254): "main", (32767, 253): "default"},
    AF_INET6: {(0, 255): "local", (32766, 254): "main"},
}
"""Priority and table of the rules that the kernel makes (ip-rule(8))."""
_TYPES = {6: "blackhole", 7: "unreachable", 8: "prohibit", 2: "local", 3: "broadcast",
          4: "anycast", 5: "multicast"}  # fmt: skip
_XDP, _XDP_ATTACHED = 43, 2


def strange(node: nodes.Node, home: int) -> list[Difference]:
    """Everything of that kind. Raises OSError when the kernel refuses."""
    links = dict(_links(node.netlink))
    made = {(index, name) for name, index in node.interfaces.items()}
    found = [Difference("link", n) for i, (n, _) in links.items() if (i, n) not in made]
    found += [Difference("XDP program", f"on {n}") for n, xdp in links.values() if xdp]
    names = {index: name for index, (name, _) in links.items()}
    addresses = list(_addresses(node.netlink, names))
    found += [Difference("address", f"{a} dev {dev}") for dev, a in addresses if _is_odd(dev, a)]
    found += _routes(node.netlink, names, set(addresses))
    found += _policies(node.netlink)
    found += _disciplines(node.netlink, names)
    with nodes.within(node.netns, home):
        found += list(_sysctls(node.sysctls, names.values()))
    return found


def _links(netlink: Netlink) -> Iterator[tuple[int, tuple[str, bool]]]:
    """Index, name and whether an XDP program is attached."""
    for data in _dumped(netlink, _GETLINK, 0, 16):
        (index,) = struct.unpack_from("=i", data, 20)
        has = _attributes(data, 32)
        attached = _attributes(has.get(_XDP, b""), 0).get(_XDP_ATTACHED, b"\0")
        yield index, (has[3].rstrip(b"\0").decode(), attached != b"\0")


def _addresses(netlink: Netlink, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Interface and address with its length."""
    for data in _dumped(netlink, _GETADDR, 0, 8):
        length, index = data[17], struct.unpack_from("=I", data, 20)[0]
        has = _attributes(data, 24)
        address = ip_address(has.get(2) or has[1])  # IFA_LOCAL, else IFA_ADDRESS
        yield names.get(index, str(index)), f"{address}/{length}"


def _is_odd(dev: str, address: str) -> bool:
    if dev == "lo":
        return address not in ("127.0.0.1/8", "::1/128")
    return address.startswith("fe80:")


def _routes(
    netlink: Netlink, names: Mapping[int, str], addresses: set[tuple[str, str]]
) -> Iterator[Difference]:
    """Those of the local table or of the kernel's protocol that the kernel would not make."""
    for family in (AF_INET, AF_INET6):
        for data in _dumped(netlink, _GETROUTE, family, 12):
            length, table, protocol, kind = data[17], data[20], data[21], data[23]
            if table != _LOCAL and protocol != _KERNEL:
                continue
            has = _attributes(data, 28)
            address = ip_address(has.get(1) or bytes(4 if family == AF_INET else 16))
            dev = names.get(struct.unpack("=I", has.get(4, bytes(4)))[0], "")
            to = f"{address}/{length}"
            made = protocol == _KERNEL and 5 not in has and _follows(
                family, kind, dev, to, addresses, local=table == _LOCAL
            )  # fmt: skip
            if not made:
                via = f" via {ip_address(has[5])}" if 5 in has else ""
                where = "table local" if table == _LOCAL else "proto kernel"
                yield Difference(
                    "route", f"{_TYPES.get(kind, '')} {to}{via} dev {dev} {where}".strip()
                )


def _follows(
    family: int, kind: int, dev: str, to: str, addresses: set[tuple[str, str]], *, local: bool
) -> bool:
    """Whether the kernel makes such a route for one of these addresses, or for the interface."""
    if family == AF_INET and dev == "lo" and local:
        address, _, length = to.partition("/")
        inside = address.startswith("127.") and kind in (_RTN_LOCAL, _BROADCAST)
        return inside and (length == "32" or to == "127.0.0.0/8")
    if family == AF_INET6 and local and kind == _MULTICAST:
        return to == "ff00::/8"
    return (dev, to) in addresses and kind == (_RTN_LOCAL if local else _UNICAST)


def _policies(netlink: Netlink) -> Iterator[Difference]:
    for family, expected in _POLICIES.items():
        left = dict(expected)
        flag = " -6" if family == AF_INET6 else ""
        for data in _dumped(netlink, _GETRULE, family, 12):
            has = _attributes(data, 28)
            table = struct.unpack("=I", has[15])[0] if 15 in has else data[20]
            priority = struct.unpack("=I", has.get(6, bytes(4)))[0]
            if _is_plain(data, has) and left.pop((priority, table), ""):
                continue
            yield Difference(f"ip{flag} rule", _policy_words(data, has, priority, table))
        for (priority, _), name in left.items():
            yield Difference(f"ip{flag} rule", want=f"{priority}: from all lookup {name}")


def _is_plain(data: bytes, has: Mapping[int, bytes]) -> bool:
    """From and to all, of any interface and mark: FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL and two
    that say "nothing suppressed" are all that it has; the action is to look the table up."""
    nothing = {6, 15, 21}
    extra = {k: v for k, v in has.items() if k not in nothing and v != b"\xff\xff\xff\xff"}
    return data[17] == data[18] == data[19] == 0 and data[23] == 1 and not extra


def _policy_words(data: bytes, has: Mapping[int, bytes], priority: int, table: int) -> str:
    """As ip(8) has them, as far as they matter to tell rules apart."""
    source = f"{ip_address(has[2])}/{data[18]}" if 2 in has else "all"
    words = f"{priority}: from {source}"
    words += f" to {ip_address(has[1])}/{data[17]}" if 1 in has else ""
    words += "".join(
        f" {key} {has[n].rstrip(bytes(1)).decode()}"
        for n, key in ((3, "iif"), (17, "oif"))
        if n in has
    )
    words += f" fwmark {struct.unpack('=I', has[10])[0]:#x}" if 10 in has else ""
    return (
        f"{words} lookup {table}" if data[23] == 1 else f"{words} {_TYPES.get(data[23], data[23])}"
    )


def _disciplines(netlink: Netlink, names: Mapping[int, str]) -> Iterator[Difference]:
    """The kernel's own have handle 0 (tc(8))."""
    for data in _dumped(netlink, _GETQDISC, 0, 20):
        index, handle = struct.unpack_from("=iI", data, 20)
        if handle:
            kind = _attributes(data, 36)[1].rstrip(b"\0").decode()
            yield Difference("qdisc", f"{kind} dev {names.get(index, index)}")


def _sysctls(wanted: Mapping[str, Any], interfaces: Iterable[str]) -> Iterator[Difference]:
    """Of an interface the same as it was given at its birth (conf/default)."""
    settings = dict(wanted)
    for path, value in wanted.items():
        if "/conf/default/" in path:
            for name in interfaces:
                settings.setdefault(path.replace("/default/", f"/{name}/"), value)
    for path, value in settings.items():
        with suppress(FileNotFoundError):  # its interface has gone meanwhile
            have = _read(f"/proc/sys/{path}")
            if have != str(value):
                yield Difference(f"sysctl {path}", have, str(value))


def _read(path: str) -> str:
    """A setting's value: 6 us, of which Path.read_text() makes 58 (measured)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    """Type and value of each, of a message or of an attribute that holds some."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _dumped(netlink: Netlink, kind: int, family: int, header: int) -> list[bytes]:
    """Every message of a dump; `header` is the length of the family's own header."""
    body = bytes([family]).ljust(header, b"\0")
    return netlink.dump(struct.pack("=IHHII", 16 + header, kind, _REQUEST_DUMP, 0, 0) + body)

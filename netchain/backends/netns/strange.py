"""What is otherwise in a node than netchain makes it, beside what `network_dump` tells (keeper's).

`network_dump` tells what links have that netchain wires. Here is the rest, of which a node has only
what the kernel makes by itself: interfaces that the keeper did not make, policy rules (ip rule),
routes of the local table or of the kernel's protocol that follow from no address, addresses of
loopback and link-local ones, queueing disciplines that somebody set (tc: they can redirect), and
sysctls, of each interface too. It is read raw: a message takes pyroute2 a hundred times as long.

Layouts: linux/rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, pkt_sched.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from netchain.backends.netns import device_settings, nodes
from netchain.backends.netns.dumps import Attributes, Dumps, attributes, number, text
from netchain.model.drift import Difference

_LOCAL, _KERNEL, _LOOK_UP = 255, 2, 1
_UNICAST, _RTN_LOCAL, _BROADCAST, _MULTICAST = 1, 2, 3, 5
_POLICIES = {
    AF_INET: {(0, 255): "local", (32766, 254): "main", (32767, 253): "default"},
    AF_INET6: {(0, 255): "local", (32766, 254): "main"},
}
"""Priority and table of the rules that the kernel makes (ip-rule(8))."""
_TYPES = {6: "blackhole", 7: "unreachable", 8: "prohibit", 2: "local", 3: "broadcast",
          4: "anycast", 5: "multicast"}  # fmt: skip
_NAME, _AF_SPEC, _XDP, _XDP_ATTACHED = 3, 26, 43, 2
_FAMILY = len("net/ipv4")


def strange(node: nodes.Node, home: int, dumps: Dumps) -> list[Difference]:
    """Everything of that kind. Raises OSError when the kernel refuses."""
    links = dict(_links(dumps))
    made = {(index, name) for name, index in node.interfaces.items()}
    names = {index: link.name for index, link in links.items()}
    found = [Difference("link", n) for i, n in names.items() if (i, n) not in made]
    found += [Difference("XDP program", f"on {one.name}") for one in links.values() if one.xdp]
    addresses = list(_addresses(dumps, names))
    found += [Difference("address", f"{a} dev {dev}") for dev, a in addresses if _is_odd(dev, a)]
    found += _routes(dumps, names, set(addresses))
    found += _policies(dumps)
    found += _disciplines(dumps, names)
    of_links = {path: value for link in links.values() for path, value in link.settings.items()}
    with nodes.within(node.netns, home):
        found += list(_sysctls(node, of_links))
    return found


@dataclass(frozen=True)
class _Link:
    """Whether an XDP program is attached; sysctls by their paths below /proc/sys."""

    name: str
    xdp: bool
    settings: Mapping[str, int]


def _links(dumps: Dumps) -> Iterator[tuple[int, _Link]]:
    """By their indices."""
    for (_, _, index, _, _), has in dumps.links:
        attached = attributes(has.get(_XDP, b"")).get(_XDP_ATTACHED, b"\0")
        name = text(has[_NAME])
        settings = dict(device_settings.settings(name, has.get(_AF_SPEC, b"")))
        yield index, _Link(name, attached != b"\0", settings)


def _addresses(dumps: Dumps, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Interface and address with its length."""
    for (_, length, _, _, index), has in dumps.addresses:
        address = ip_address(has.get(2) or has[1])  # IFA_LOCAL, else IFA_ADDRESS
        yield names.get(index, str(index)), f"{address}/{length}"


def _is_odd(dev: str, address: str) -> bool:
    if dev == "lo":
        return address not in ("127.0.0.1/8", "::1/128")
    return address.startswith("fe80:")


def _routes(
    dumps: Dumps, names: Mapping[int, str], addresses: set[tuple[str, str]]
) -> Iterator[Difference]:
    """Those of the local table or of the kernel's protocol that the kernel would not make."""
    for (family, length, _, _, table, protocol, _, kind, _), has in dumps.routes:
        if table != _LOCAL and protocol != _KERNEL:
            continue
        address = ip_address(has.get(1) or bytes(4 if family == AF_INET else 16))
        dev = names.get(number(has.get(4, bytes(4))), "")
        to = f"{address}/{length}"
        made = protocol == _KERNEL and 5 not in has and _follows(
            family, kind, dev, to, addresses, local=table == _LOCAL
        )  # fmt: skip
        if not made:
            via = f" via {ip_address(has[5])}" if 5 in has else ""
            where = "table local" if table == _LOCAL else "proto kernel"
            yield Difference("route", f"{_TYPES.get(kind, '')} {to}{via} dev {dev} {where}".strip())


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


def _policies(dumps: Dumps) -> Iterator[Difference]:
    for family, expected in _POLICIES.items():
        left = dict(expected)
        flag = " -6" if family == AF_INET6 else ""
        for fixed, has in dumps.policies(family):
            table = number(has[15]) if 15 in has else fixed[4]
            priority = number(has.get(6, bytes(4)))
            if is_plain_policy(fixed, has) and left.pop((priority, table), ""):
                continue
            yield Difference(f"ip{flag} rule", _policy_words(fixed, has, priority, table))
        for (priority, _), name in left.items():
            yield Difference(f"ip{flag} rule", want=f"{priority}: from all lookup {name}")


def is_plain_policy(fixed: tuple[int, ...], has: Attributes) -> bool:
    """From and to all, of any interface and mark: FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL and two
    that say "nothing suppressed" are all that it has; the action is to look the table up."""
    _, to, source, tos, _, _, _, action, _ = fixed
    nothing = {6, 15, 21}
    extra = {k: v for k, v in has.items() if k not in nothing and v != b"\xff\xff\xff\xff"}
    return to == source == tos == 0 and action == _LOOK_UP and not extra


def _policy_words(fixed: tuple[int, ...], has: Attributes, priority: int, table: int) -> str:
    """As ip(8) has them, as far as they matter to tell rules apart."""
    _, to, source, _, _, _, _, action, _ = fixed
    words = f"{priority}: from " + (f"{ip_address(has[2])}/{source}" if 2 in has else "all")
    words += f" to {ip_address(has[1])}/{to}" if 1 in has else ""
    words += "".join(f" {key} {text(has[n])}" for n, key in ((3, "iif"), (17, "oif")) if n in has)
    words += f" fwmark {number(has[10]):#x}" if 10 in has else ""
    done = f"lookup {table}" if action == _LOOK_UP else _TYPES.get(action, str(action))
    return f"{words} {done}"


def _disciplines(dumps: Dumps, names: Mapping[int, str]) -> Iterator[Difference]:
    """The kernel's own have handle 0 (tc(8))."""
    for (_, index, handle, _, _), has in dumps.disciplines():
        if handle:
            yield Difference("qdisc", f"{text(has[1])} dev {names.get(index, index)}")


def _sysctls(node: nodes.Node, of_links: Mapping[str, int]) -> Iterator[Difference]:
    """Of an interface the same as it was given at its birth (conf/default)."""
    wanted = node.sysctls
    for path, value in of_links.items():
        family, name = path.split("/conf/")[0], path.rpartition("/")[2]
        want = wanted.get(f"{family}/conf/default/{name}", value)
        if value != want:
            yield Difference(f"sysctl {path}", str(value), str(want))
    for path, want in wanted.items():
        if path not in of_links:
            family, inside = path[:_FAMILY], path[_FAMILY + 1 :]
            have = nodes.read_line(inside, node.sysctl_directory(family))
            if have != str(want):
                yield Difference(f"sysctl {path}", have, str(want))

"""`uplink = "host"`: a veth between the router and the host's namespace, with masquerade there.

As root. The host gets one interface, one nft table of our own (firewall_rules/uplinks/host.nft)
and, where it did not forward before, forwarding on the interfaces of its default routes, for the
chain alone: the table drops all else. Per interface, since `ip_forward` would change every one,
and IPv6's `forwarding` would stop router advertisements from being heard: where the kernel has no
`force_forwarding` (Linux 6.17) and does not forward already, the chain has no IPv6.
"""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any

from netchain.errors import NetchainError, Problem
from netchain.nft.fill import TABLE, fill
from netchain.nft.literals import IfName, element
from netchain.resources import data_dir
from netchain.uplink import outer, record
from netchain.uplink.addresses import GATEWAY_MAC, OUTER_MAC, Outside, private

_SYSCTLS = Path("/proc/sys/net")
_OWN = {"ipv4": {"rp_filter": "1", "send_redirects": "0"}, "ipv6": {"accept_ra": "0"}}


def outside(chain: str) -> Outside:
    """The first of our networks that this computer does not use, or that it uses for the chain."""
    veth = veth_name(chain)
    for number in range(2, 256):
        where = private(number, GATEWAY_MAC)
        if _has(veth, where) or _is_free(where):
            return where
    raise NetchainError(Problem("E038", "10.138.0.0/16 is in use here, no part of it is free"))


def veth_name(chain: str) -> str:
    return f"nc-{zlib.crc32(chain.encode()):08x}"


def _has(veth: str, where: Outside) -> bool:
    return any(r.get("dev") == veth and r["dst"] == str(where.address4.ip) for r in outer.routes(4))


def _is_free(where: Outside) -> bool:
    base6 = where.gateway6
    return outer.is_free(f"{where.gateway4 - 1}/24") and outer.is_free(f"{base6}/128")


class Host:
    """The host's side of the veth."""

    def __init__(self, directory: Path, chain: str, where: Outside) -> None:
        self._directory, self._where = directory, where
        self._veth = veth_name(chain)
        self._table = f"inet netchain_{self._veth[3:]}"

    def open(self, netns: str) -> None:
        """NetchainError when something of it is refused; what was done is in the record."""
        opened = {family: _closed_interfaces(family) for family in (4, 6)}
        sysctls = [
            str(_forwarding(family, name)) for family, names in opened.items() for name in names
        ]
        if sysctls and any(other.get("sysctls") for other in record.of_others(self._directory)):
            title = "this computer forwards nothing but for another chain, which would be cut off"
            hint = "take that one down, or turn forwarding on: sysctl net.ipv4.ip_forward=1"
            raise NetchainError(Problem("E039", title, help=hint))
        record.write(self._directory, {
            "kind": "host", "veth": self._veth, "table": self._table, "sysctls": sysctls,
        })  # fmt: skip
        outer.run("nft", "-f", "-", stdin=self._rules(opened))
        self._wire(netns)
        for path in sysctls:
            outer.write(Path(path), "1")

    def _rules(self, opened: dict[int, list[str]]) -> str:
        file = data_dir() / "firewall_rules" / "uplinks" / "host.nft"
        assert self._where.address6 is not None
        text = fill(file.read_text(encoding="utf-8"), {
            "veth": frozenset({element((IfName.parse(self._veth),))}),
            "router4": frozenset({element((self._where.address4.ip,))}),
            "router6": frozenset({element((self._where.address6.ip,))}),
            **{f"opened{family}": frozenset(element((IfName.parse(name),)) for name in names)
               for family, names in opened.items()},
        })  # fmt: skip
        return text.replace(TABLE, self._table)

    def _wire(self, netns: str) -> None:
        where, veth = self._where, self._veth
        outer.run(
            "ip", "link", "add", veth, "address", GATEWAY_MAC, "type", "veth", "peer", "name",
            where.interface, "address", OUTER_MAC, "netns", netns,
        )  # fmt: skip
        for protocol, settings in _OWN.items():
            for key, value in settings.items():
                outer.write(_SYSCTLS / protocol / "conf" / veth / key, value)
        for family in (4, 6):
            if (path := _forwarding(family, veth)).exists():
                outer.write(path, "1")
        outer.run("ip", "link", "set", veth, "addrgenmode", "none", "up")
        for own, far in ((where.gateway4, where.address4), (where.gateway6, where.address6)):
            assert own is not None and far is not None
            nodad = ["nodad"] if own.version == 6 else []
            outer.run("ip", "address", "add", str(own), "peer", str(far), "dev", veth, *nodad)
            outer.run(
                "ip", "neighbour", "replace", str(far.ip), "lladdr", OUTER_MAC, "dev", veth,
                "nud", "permanent",
            )  # fmt: skip

    def close(self) -> None:
        undo(record.read(self._directory))
        record.forget(self._directory)


def _forwarding(family: int, interface: str) -> Path:
    name = "forwarding" if family == 4 else "force_forwarding"
    return _SYSCTLS / f"ipv{family}" / "conf" / interface / name


def _closed_interfaces(family: int) -> list[str]:
    """Interfaces of default routes on which nothing is forwarded yet, and can be made to be."""
    if family == 6 and outer.read(_SYSCTLS / "ipv6/conf/all/forwarding") == "1":
        return []
    names = outer.default_interfaces(family)
    return [name for name in names if outer.read(_forwarding(family, name)) == "0"]


def undo(data: dict[str, Any]) -> None:
    """Take everything back, also when only some of it was done."""
    for path in data.get("sysctls", ()):
        with contextlib.suppress(OSError):  # the interface is gone
            Path(path).write_text("0")
    if data.get("veth") in outer.links():
        outer.run("ip", "link", "delete", data["veth"])
    if data and data["table"] in outer.run("nft", "list", "tables"):
        outer.run("nft", "delete", "table", *data["table"].split())

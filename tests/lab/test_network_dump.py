"""What dumps.py unpacks by itself is what pyroute2 makes of the same messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from bare_site import bare_site, node
from commands import Netchain
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netchain.backends.netns import dumps
from netchain.backends.netns.netlink import Netlink

pytestmark = pytest.mark.lab
KINDS = {1: "", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
LINES = """
link add v0 type veth peer name v1
link set v0 group 7 alias "v1 abc"
link set v0 up
link set v1 up
link add down0 type veth peer name down1
addr add 10.1.0.1/32 dev v0
addr add 10.1.0.5/32 peer 10.1.0.6/32 dev v0
addr add 10.2.0.1/24 dev v1
addr add fd00:1::1/128 dev v0 nodad
addr add fd00:2::1/64 dev v1 nodad
neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent
neigh add fd00:1::2 lladdr 02:00:00:00:00:03 dev v0 nud permanent
neigh add 10.1.0.3 lladdr 02:00:00:00:00:04 dev v0 nud stale
route add 10.1.0.2/32 dev v0 src 10.1.0.1
route add default via 10.1.0.2 dev v0 onlink metric 5
route add 10.9.0.0/16 via 10.1.0.2 dev v0 onlink table 77
route add 10.10.0.0/16 dev v0 table 1000
route add unreachable 10.8.0.0/16 metric 4294967294
route add blackhole 10.7.0.0/16
route add prohibit 10.6.0.0/16
route add 10.5.0.0/16 nexthop via 10.1.0.2 dev v0 onlink nexthop dev v1
-6 route add default via fd00:1::2 dev v0 onlink
-6 route add fd00:1::2/128 dev v0 metric 1
-6 route add unreachable fd00:8::/32 metric 4294967294
"""


def by_pyroute2(netlink: Netlink) -> list[dict[str, Any]]:
    def dumped(kind: int, message: Any, family: int = 0) -> Iterator[Any]:
        request = message()
        request["family"] = family
        request["header"] = {"type": kind, "flags": 0x301, "sequence_number": 0}
        request.encode()
        for data in netlink.dump(bytes(request.data)):
            answer = message(data)
            answer.decode()
            yield answer

    links = list(dumped(RTM_GETLINK, ifinfmsg))
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    found: list[dict[str, Any]] = [
        {"do": "link", "dev": names[link["index"]], "group": link.get_attr("IFLA_GROUP")}
        for link in links
        if link["flags"] & 1
    ]
    for one in dumped(RTM_GETADDR, ifaddrmsg):
        dev, address = names.get(one["index"], ""), one.get_attr("IFA_ADDRESS")
        if dev != "lo" and not address.startswith("fe80:"):
            found.append({"do": "addr", "dev": dev, "address": f"{address}/{one['prefixlen']}"})
    for one in dumped(RTM_GETNEIGH, ndmsg):
        if one["state"] & 0x80:
            found.append(
                {"do": "neigh", "dev": names.get(one["ifindex"], ""),
                 "address": one.get_attr("NDA_DST"), "mac": one.get_attr("NDA_LLADDR")}
            )  # fmt: skip
    for family, everywhere in ((AF_INET, "0.0.0.0"), (AF_INET6, "::")):
        for one in dumped(RTM_GETROUTE, rtmsg, family):
            if one["table"] == 255 or one["proto"] == 2:
                continue
            change = {
                "do": "route", "to": f"{one.get_attr('RTA_DST') or everywhere}/{one['dst_len']}",
                "dev": names.get(one.get_attr("RTA_OIF"), ""), "via": one.get_attr("RTA_GATEWAY"),
                "src": one.get_attr("RTA_PREFSRC"), "metric": one.get_attr("RTA_PRIORITY"),
                "kind": KINDS.get(one["type"], str(one["type"])),
                "table": "" if one["table"] == 254 else str(one["table"]),
            }  # fmt: skip
            found.append({key: value for key, value in change.items() if value})
    return found


def test_both_decoders_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path_factory.mktemp("s")
    with bare_site(state, monkeypatch) as keeper:
        node(keeper, "any:qube", ip_forward=1)
        holder = Netchain(state).holder("any:qube")
        enter = ["nsenter", f"--target={holder}", "--user", "--net", "--preserve-credentials"]
        for line in filter(None, LINES.splitlines()):
            words = [word.strip('"') for word in line.replace('"v1 abc"', "v1_abc").split()]
            subprocess.run([*enter, "ip", *words], check=True, capture_output=True)
        ours = keeper.ask("network", prefix="any:")["nodes"]["any:qube"]["has"]
        script = (
            "import json, sys; sys.path.insert(0, sys.argv[1]);"
            "from test_network_dump import by_pyroute2;"
            "from netchain.backends.netns.netlink import Netlink, own_netns;"
            "print(json.dumps(by_pyroute2(Netlink(own_netns()))))"
        )
        theirs = json.loads(
            Netchain(state).in_network(
                "any:qube", sys.executable, "-c", script, str(Path(__file__).parent)
            )
        )
    assert len(ours) > 15
    assert ours == theirs


def test_half_an_attribute_is_an_error() -> None:
    for data in (b"\x05\x00\x01", b"\x09\x00\x01\x00abcd", b"\x03\x00\x01\x00"):
        with pytest.raises(OSError, match="an attribute"):
            dumps.attributes(data)

"""What a new interface has from the start: settings from conf/default, and no fe80:: address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from sandbox import wait_until
from wires import Net, await_up, make_pair

from netchain.model.chain import Role
from netchain.model.sysctls import sysctls


def settings(net: Net, interface: str, family: str) -> dict[str, int]:
    """What `interface` (or "default") has of the settings that netchain makes."""
    keys = [k.rpartition("/")[2] for k in sysctls(Role.NET) if f"{family}/conf/default/" in k]
    with net:
        folder = Path("/proc/sys/net", family, "conf", interface)
        return {key: int((folder / key).read_text()) for key in keys}


def set_all(net: Net, values: Mapping[str, int]) -> None:
    with net:
        for key, value in values.items():
            Path("/proc/sys", key).write_text(str(value))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("role", Role)
def test_a_new_interface_gets_the_defaults_of_its_namespace(role: Role, family: str) -> None:
    """nodes.create sets conf/default before a node has any link (model/sysctls.py)."""
    net, far = Net(), Net()
    make_pair(net, "before", far, "peer1")
    untouched = settings(net, "before", family)
    set_all(net, sysctls(role))
    make_pair(net, "eth0", far, "peer2")
    assert settings(net, "eth0", family) == settings(net, "default", family)
    wanted = {k.rpartition("/")[2]: v for k, v in sysctls(role).items() if f"{family}/conf" in k}
    assert settings(net, "eth0", family) == wanted
    assert set(wanted.items()) - set(untouched.items()), "nothing was changed by this"


def test_ipv6_defaults_do_not_reach_the_interfaces_that_exist() -> None:
    """Hence they are set first (nodes.py): a link made before them would keep accept_ra."""
    net, far = Net(), Net()
    make_pair(net, "eth0", far, "peer")
    before = settings(net, "eth0", "ipv6")
    set_all(net, {k: v for k, v in sysctls(Role.NET).items() if "/conf/default/" in k})
    assert settings(net, "eth0", "ipv6") == before != settings(net, "default", "ipv6")


def test_ipv4_defaults_do_not_reach_the_interfaces_that_have_an_address() -> None:
    """The same; but IPv4 does hand new defaults on to interfaces that nobody has set up yet."""
    net, far = Net(), Net()
    make_pair(net, "used", far, "peer1")
    make_pair(net, "fresh", far, "peer2")
    net.ip("addr add 192.0.2.1/32 dev used")
    before = settings(net, "used", "ipv4")
    set_all(net, {k: v for k, v in sysctls(Role.NET).items() if "/conf/default/" in k})
    assert settings(net, "used", "ipv4") == before != settings(net, "default", "ipv4")
    fresh, default = (settings(net, name, "ipv4") for name in ("fresh", "default"))
    assert {**fresh, "forwarding": 1} == default  # all but that one


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_defaults_of_one_namespace_are_no_others(family: str) -> None:
    """Each node has its own settings: a qube that forwards does not make another forward."""
    one, other = Net(), Net()
    before = settings(other, "default", family)
    set_all(one, sysctls(Role.NET))
    assert settings(other, "default", family) == before != settings(one, "default", family)


def test_no_address_appears_by_itself_with_addr_gen_mode_1() -> None:
    """model/sysctls.py sets it: a link has no address that we did not give it.

    The control comes up later and gets its fe80:: address: by then the other was dealt with.
    """
    net, far = Net(), Net()
    make_pair(net, "control", far, "peer1")
    net.sysctl(ipv6__conf__default__addr_gen_mode=1)
    make_pair(net, "eth0", far, "peer2")
    far.ip("link set peer1 up", "link set peer2 up")
    net.ip("link set eth0 up")
    await_up(net, "eth0")
    net.ip("link set control up")
    wait_until(lambda: addresses(net, "control"), "an fe80:: address of the control")
    assert addresses(net, "control")[0].startswith("fe80")
    assert addresses(net, "eth0") == []


def addresses(net: Net, interface: str) -> list[str]:
    """The IPv6 addresses of an interface, in hex (/proc/net/if_inet6)."""
    with net:
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    return [line.split()[0] for line in lines if line.split()[-1] == interface]

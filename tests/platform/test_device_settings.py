"""The numbers of an interface's settings in a link dump are those of its files.

Every setting is given another value than its neighbours, in an interface of the test's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from wires import Net, make_pair

from netchain.backends.netns.device_settings import IPV4, IPV6, settings
from netchain.backends.netns.dumps import Dumps, text
from netchain.backends.netns.netlink import Netlink, own_netns
from netchain.model.chain import Role
from netchain.model.sysctls import sysctls

_AF_SPEC = 26


def dumped(interface: str) -> dict[str, int]:
    netlink = Netlink(own_netns())
    has = next(has for _, has in Dumps(netlink).links if text(has[3]) == interface)
    netlink.close()
    return dict(settings(interface, has[_AF_SPEC]))


def files(interface: str) -> dict[str, int]:
    paths = [f"net/{family}/conf/{interface}/{name}"
             for family, names in (("ipv4", IPV4), ("ipv6", IPV6)) for name in names]  # fmt: skip
    return {path: int(Path("/proc/sys", path).read_text()) for path in paths}


def test_each_number_is_that_of_its_file() -> None:
    here = Net()
    make_pair(here, "one0", Net(), "other0")
    with here:
        at_first = dumped("one0")
        assert at_first == files("one0")
        for path, value in at_first.items():
            for other in (value ^ 1, value + 2):  # `forwarding` of IPv6 is 0 or 1
                try:
                    Path("/proc/sys", path).write_text(str(other))
                except OSError:
                    continue
                assert dumped("one0") == files("one0"), path
            assert files("one0")[path] != value, path


def test_they_are_all_that_netchain_sets() -> None:
    ours = {tuple(path.split("/")[1::3]) for path in sysctls(Role.NET) if "/conf/default/" in path}
    assert ours == {("ipv4", name) for name in IPV4} | {("ipv6", name) for name in IPV6}


@pytest.mark.parametrize("length", [0, 100])
def test_too_few_numbers_are_an_error(length: int) -> None:
    conf = (length + 4).to_bytes(2, "little") + b"\x01\x00" + bytes(length)
    spec = (len(conf) + 4).to_bytes(2, "little") + b"\x02\x00" + conf
    if length == 100:
        assert len(dict(settings("eth0", spec))) == len(IPV4)
        spec = spec[:2] + b"\x0a\x00" + spec[4:].replace(b"\x01\x00", b"\x02\x00", 1)
    with pytest.raises(OSError, match="of settings of eth0"):
        list(settings("eth0", spec))

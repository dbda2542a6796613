"""rp_filter: a packet whose source is reached by another way is dropped before it is routed."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from wires import OTHER_MAC, Ear, Net, Rules, join

from netchain.wire import build

_CLIENT, _STRANGER = IPv4Address("10.137.0.14"), IPv4Address("203.0.113.9")
_OWN, _UPSTREAM, _WEB = (
    IPv4Address(f"{a}") for a in ("10.137.0.12", "10.137.0.11", "203.0.113.80")
)
_FIRST = 7001


class Firewall:
    """A namespace that forwards from vif0 (one client) to eth0 (the default route)."""

    def __init__(self, every: int, default: int) -> None:
        self.net, client, upstream = Net(), Net(), Net()
        self.net.sysctl(
            ipv4__conf__all__rp_filter=every, ipv4__conf__default__rp_filter=default,
            ipv4__ip_forward=1,
        )  # fmt: skip
        join(client, "eth0", self.net, "vif0")
        join(self.net, "eth0", upstream, "vif0")
        self.net.ip(
            f"addr add {_OWN}/32 dev vif0",
            f"route add {_CLIENT} dev vif0",
            f"route add {_UPSTREAM} dev eth0",
            f"route add default via {_UPSTREAM} dev eth0 onlink",
            f"neigh add {_UPSTREAM} lladdr {OTHER_MAC} dev eth0",
        )
        self.client, self.uplink = Ear(client, "eth0"), Ear(upstream, "vif0")

    def forwarded(self, *sources: IPv4Address) -> list[int | None]:
        """The client sends as each source, to ports 7001, 7002 and so on; which of them leave.

        The last must be one that may pass: it ends the waiting.
        """
        for port, source in enumerate(sources, _FIRST):
            self.client.inject(build.udp(source, _WEB, 40000, port, b"x"))
        return self.uplink.until_port(_FIRST + len(sources) - 1)


@pytest.mark.parametrize(("every", "default"), [(1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("source", [_STRANGER, _UPSTREAM, _WEB], ids=["far", "next", "target"])
def test_a_source_that_is_reached_elsewhere_is_dropped(
    source: IPv4Address, every: int, default: int
) -> None:
    """model/sysctls.py sets 1: the higher one of conf/all and the interface's own counts."""
    firewall = Firewall(every, default)
    assert firewall.forwarded(source, _CLIENT) == [_FIRST + 1]


@pytest.mark.parametrize("source", [_STRANGER, _UPSTREAM], ids=["far", "next"])
def test_without_the_check_it_is_forwarded(source: IPv4Address) -> None:
    """The control of the test above."""
    assert Firewall(0, 0).forwarded(source, _CLIENT) == [_FIRST, _FIRST + 1]


def test_prerouting_rules_see_what_the_check_drops_afterwards() -> None:
    """firewall_rules: antispoof (raw) counts a forged source itself; the check comes after it."""
    firewall = Firewall(1, 1)
    with firewall.net:
        rules = Rules()
    rules.load(
        """table inet netchain {
    chain antispoof { type filter hook prerouting priority raw; policy accept;
        ip saddr 203.0.113.9 counter comment "seen"
    }
    chain forward { type filter hook forward priority filter; policy accept;
        ip saddr 203.0.113.9 counter comment "forwarded"
    }
}"""
    )
    assert firewall.forwarded(_STRANGER, _CLIENT) == [_FIRST + 1]
    assert (rules.packets("seen"), rules.packets("forwarded")) == (1, 0)


def test_own_addresses_are_refused_as_sources_whatever_the_setting() -> None:
    """A client that sends as its netvm itself: the kernel always drops that (a martian)."""
    assert Firewall(0, 0).forwarded(_OWN, _CLIENT) == [_FIRST + 1]

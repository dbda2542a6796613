"""V12, C11. Links go down and up again: the internet's, the VPN's own, from either end."""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.engine.fault import Bench, Faults
from netchain.backends.netns import wiring
from netchain.model.chain import Qube, Role

topic = Faults()
_AGAIN = {
    "addr": "addr replace {address} nodad",
    "neigh": "neigh replace {address} lladdr {mac} nud permanent",
    "route": "route replace {to}",
}
_VPN = frozenset({Role.VPN_PROXY})


def _flap(bench: Bench, node: str, interface: str) -> None:
    """Down for a while; what it lost by that is not made again by itself."""
    _set(bench, node, interface, "down")
    bench.go_on(2)
    _set(bench, node, interface, "up")


def _set(bench: Bench, node: str, interface: str, how: str) -> None:
    bench.on(node, "ip", "link", "set", interface, how)
    shown = ("ip", "-br", "link", "show", interface)
    is_up = how == "up"
    bench.wait(lambda: (",UP" in bench.on(node, *shown)) is is_up, f"{interface} is not {how}")


def _far(bench: Bench, qube: Qube) -> Iterator[None]:
    """The far end of its uplink, where the tap is."""
    node, interface = bench.port(qube)
    bench.expect_outage(bench.uplink(qube))
    _flap(bench, node, interface)
    yield


def _own(bench: Bench, qube: Qube) -> Iterator[None]:
    """Its own end, which loses its routes by it. The tap's end stays up."""
    node = f"{bench.chain.name}:{qube.name}"
    _flap(bench, node, bench.uplink_name(qube))
    yield


@topic.fault("V12", "the provider's end of the uplink goes down and up")
def isp_flaps(bench: Bench) -> Iterator[None]:
    """The provider has its routes again at once; the chain gets no new address."""
    node, interface = bench.port(bench.qube(Role.NET))
    bench.expect_outage(bench.uplink(bench.qube(Role.NET)))
    _flap(bench, node, interface)
    for change in wiring.uplink_ends(bench.chain)[1]:
        if change["do"] in _AGAIN:
            words = _AGAIN[change["do"]].format(**change)
            bench.on(node, "ip", *words.split(), "dev", interface)
    yield


@topic.fault("C11", "the uplink goes down and up, and its flows' addresses are chosen anew")
def uplink_flaps(bench: Bench) -> Iterator[None]:
    yield from _own(bench, bench.qube(Role.NET))


@topic.fault("V12", "the link of the VPN's qube goes down and up", needs=_VPN)
def vpn_link_flaps(bench: Bench) -> Iterator[None]:
    yield from _own(bench, bench.qube(Role.VPN_PROXY))


@topic.fault("V12", "the far end of the link of the VPN's qube goes down and up",
             needs=_VPN)  # fmt: skip
def vpn_port_flaps(bench: Bench) -> Iterator[None]:
    yield from _far(bench, bench.qube(Role.VPN_PROXY))


@topic.fault("V12", "the far end of the link of the Tor gateway goes down and up",
             needs=_VPN | {Role.TOR_GATEWAY})  # fmt: skip
def gateway_port_flaps(bench: Bench) -> Iterator[None]:
    yield from _far(bench, bench.qube(Role.TOR_GATEWAY))

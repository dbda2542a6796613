"""W. Rules are loaded anew, loaded wrongly or flushed; a gateway is taken away and made again."""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.engine.fault import Bench, Faults
from netchain.errors import NetchainError
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Qube, QubeState, Role
from netchain.wanted import rule_texts

topic = Faults()
_RELOADS = 20
_BAD = (
    "table inet netchain { chain forward { no such words; } }\n",
    "table inet netchain\ndelete table inet netchain\n"
    'table inet netchain { chain c { iifname @no_such_set accept comment "x"; } }\n',
    "flush table inet netchain\nadd rule inet netchain forward jump no_such_chain\n",
)
"""A syntax error; and two that the kernel finds only behind a part that it could take."""


@topic.fault("W02", "every qube's rules are loaded again and again")
def reloaded(bench: Bench) -> Iterator[None]:
    backend, chain = bench.site.backend, bench.chain
    texts = rule_texts(chain, backend)
    before = {name: backend.list_rules(chain, name) for name in texts}
    for _ in range(_RELOADS):
        for name, text in texts.items():
            backend.load_rules(chain, name, text)
    yield
    after = {name: backend.list_rules(chain, name) for name in texts}
    bench.require(before == after and all(after.values()), "other rules than before were loaded")


@topic.fault("W03", "a reload fails in every qube")
def refused(bench: Bench) -> Iterator[None]:
    backend, chain = bench.site.backend, bench.chain
    before = {qube.name: backend.list_rules(chain, qube.name) for qube in chain.qubes}
    for qube in chain.qubes:
        bench.require(not any(_loads(bench, qube, text) for text in _BAD), "a bad file was loaded")
    yield
    after = {qube.name: backend.list_rules(chain, qube.name) for qube in chain.qubes}
    bench.require(before == after and all(after.values()), "the old rules did not stay")


def _loads(bench: Bench, qube: Qube, text: str) -> bool:
    try:
        bench.site.backend.load_rules(bench.chain, qube.name, text)
    except NetchainError:
        return False
    return True


def flush(bench: Bench, qube: Qube) -> None:
    """As Docker or firewalld does."""
    bench.run(qube, "nft", "flush", "ruleset")
    there = bench.site.backend.list_rules(bench.chain, qube.name)
    bench.require(not there, f"{qube.name} has its rules still")


@topic.fault("W04", "another program flushes the firewalls' rules",
             needs=frozenset({Role.FIREWALL, Role.VPN_PROXY}))  # fmt: skip
def firewall_flushed(bench: Bench) -> Iterator[None]:
    """The qubes before and behind hold the same promise; in a chain without a VPN the Tor gateway
    alone does, and the flood comes past its rules. (docs/known-issues.md: other qubes flushed.)"""
    for qube in bench.chain.with_role(Role.FIREWALL):
        flush(bench, qube)
    yield


@topic.fault("W04", "another program flushes the workstation's rules")
def workstation_flushed(bench: Bench) -> Iterator[None]:
    flush(bench, bench.qube(Role.WORKSTATION))
    yield


@topic.fault("W06", "a firewall is taken away and made again", needs=frozenset({Role.FIREWALL}))
def firewall_restarted(bench: Bench) -> Iterator[None]:
    _remove(bench, bench.qube(Role.FIREWALL))
    yield


@topic.fault("W06", "the VPN's qube is taken away and made again",
             needs=frozenset({Role.VPN_PROXY, Role.TOR_GATEWAY}))  # fmt: skip
def vpn_restarted(bench: Bench) -> Iterator[None]:
    """Of a chain in which the workstation's flood does not end with it."""
    _remove(bench, bench.qube(Role.VPN_PROXY))
    yield


def _remove(bench: Bench, qube: Qube) -> None:
    """Its taps first: an open one would keep its network alive."""
    bench.site.sensor.settle()
    for link in (*links(bench.chain), *tunnels(bench.chain)):
        if qube.name in (link.client, link.netvm):
            bench.site.sensor.disarm(link)
    bench.site.backend.remove(bench.chain, qube.name)
    bench.changed[qube.name] = QubeState.BLOCKED
    bench.require(qube.name not in bench.site.backend.observe(bench.chain).qubes, "it is there")

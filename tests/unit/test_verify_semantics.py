"""What the verifier takes nft and the kernel to do, trap by trap: each was measured on a kernel
before (Linux 6.18, nft 1.0.6), and cost somebody a wrong belief.

Each case is a rule text, a way, and a set of packets: whether some of them get through, and whether
all do. Every packet that is found is run through the simulator, too.
Not covered here: that this kernel does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from nft_here import nft

from netchain.nft.fields import ICMP, ICMPV6, TCP, UDP
from netchain.nft.ruleset import parse
from netchain.verify.algebra import Bit, Truth, every
from netchain.verify.diagrams import diagrams
from netchain.verify.packet import (
    DPORT,
    FRAGMENT,
    IP,
    IP6,
    SPORT,
    Interfaces,
    Packet,
    is_plain6,
    truths,
)
from netchain.verify.ways import Ways
from netchain.verify.words import is_value

pytestmark = pytest.mark.lab
INTERFACES = Interfaces(("lo", "eth0", "vif1"), (0, 1, 2), ({}, {IP: 0x0A000001}, {}))
Ask = Callable[[Packet], Bit]
EVERY, SOME, NONE = "all", "some", "none"


def protocol(number: int) -> Ask:
    return lambda p: p.is_protocol(number)


def state(*names: str) -> Ask:
    return lambda p: p.is_state(*names)


def port(number: int, place: object = DPORT) -> Ask:
    return lambda p: is_value(p.algebra, p.bits(place), number)  # type: ignore[arg-type]


def kind(number: int) -> Ask:
    return lambda p: p.is_type(number)


def whole(p: Packet) -> Bit:
    """No fragment, and with a transport header that is all there."""
    is_long = p.algebra.variable("length.0")  # 32 bytes and more
    part = is_value(p.algebra, p.bits(FRAGMENT), 0) if p.family == IP else p.whole
    return every(p.algebra, [part, is_long])


def plain(p: Packet) -> Bit:
    """Of IPv6: without extension headers."""
    return is_plain6(p)


def later_part(p: Packet) -> Bit:
    return p.algebra.no(p.whole)


def to_interface(name: str) -> Ask:
    return lambda p: p.through(p.oif, (INTERFACES.number(name),))


def through(text: str, way: str, family: str, *asked: Ask) -> str:
    """Whether all, some or none of these packets get through."""
    ruleset = parse(nft(text, "-j list ruleset"))
    algebra = diagrams()
    walked = getattr(Ways(algebra, ruleset, "q", family, INTERFACES), way)
    these = every(algebra, [
        ask(walked.packet if _is_late(ask) else walked.came) for ask in asked
    ])  # fmt: skip
    these = algebra.both(these, truths(walked.came, local=way == "sent"))
    assert not algebra.is_false(these), "no such packet"
    pass_, stop = algebra.both(these, walked.reach), algebra.both(these, algebra.no(walked.reach))
    for expected, some in ((True, pass_), (False, stop)):
        values = algebra.witness(some)
        if values is not None:
            again = getattr(Ways(Truth(values), ruleset, "q", family, INTERFACES), way)
            assert again.reach is expected
    if algebra.is_false(stop):
        return EVERY
    return NONE if algebra.is_false(pass_) else SOME


def _is_late(ask: Ask) -> bool:
    """Asked of the packet as it is in the end: what conntrack said of it."""
    return ask.__qualname__.startswith("state.")


def at(
    hook: str, rules: str, *, priority: str = "0", policy: str = "accept", more: str = ""
) -> str:
    head = f"type filter hook {hook} priority {priority}; policy {policy};"
    return f"table inet t {{ {more} chain c {{ {head} {rules} }}; }}"


CASES = {
    "reject for the other family ends nothing": (
        at("input", "reject with icmpv6 type admin-prohibited;"), "delivered", IP, [], EVERY),
    "reject for its own family ends all": (
        at("input", "reject with icmpv6 type admin-prohibited;"), "delivered", IP6, [], NONE),
    "tcp reset is for TCP": (
        at("input", "meta l4proto tcp reject with tcp reset;"), "delivered", IP,
        [protocol(UDP)], EVERY),
    "!= does not match where there is no such header": (
        at("input", "tcp dport != 80 drop;"), "delivered", IP, [protocol(UDP)], EVERY),
    "!= matches where it is another": (
        at("input", "tcp dport != 80 drop;"), "delivered", IP,
        [protocol(TCP), whole, port(81)], NONE),
    "a later fragment has no ports": (
        at("prerouting", "udp dport 53 drop;", priority="-450"), "delivered", IP,
        [protocol(UDP), later_part], EVERY),
    "before conntrack every state is invalid": (
        at("prerouting", "ct state invalid drop;", priority="-300"), "delivered", IP, [], NONE),
    "a direction cannot be asked there": (
        at("prerouting", "ct direction original drop;", priority="-300"), "delivered", IP, [],
        EVERY),
    "a nat chain sees only first packets": (
        "table inet t { chain c { type nat hook prerouting priority -100; drop; }; }",
        "delivered", IP, [state("established")], EVERY),
    "of first packets it sees all": (
        "table inet t { chain c { type nat hook prerouting priority -100; drop; }; }",
        "delivered", IP, [state("new")], NONE),
    "a program's packet comes in by no interface": (
        at("output", 'iifname != "eth0" drop;'), "sent", IP, [], NONE),
    "and by none of any group": (at("output", "iifgroup != 1 drop;"), "sent", IP, [], EVERY),
    "goto does not come back": (
        "table inet t { chain d { udp dport 1 drop; }; chain c { type filter hook input priority 0;"
        " policy accept; goto d; drop; }; }", "delivered", IP, [protocol(TCP)], EVERY),
    "jump comes back": (
        "table inet t { chain d { udp dport 1 drop; }; chain c { type filter hook input priority 0;"
        " policy accept; jump d; drop; }; }", "delivered", IP, [protocol(TCP)], NONE),
    "accept ends only its own chain": (
        "table inet a { chain c { type filter hook input priority 0; accept; }; };"
        "table inet b { chain c { type filter hook input priority 1; drop; }; }",
        "delivered", IP, [], NONE),
    "a list of states is a test of bits": (
        at("input", "ct state established,related drop;"), "delivered", IP, [state("related")],
        NONE),
    "none of these flags": (
        at("input", "tcp flags & (fin | syn) == 0 drop;"), "delivered", IP, [protocol(UDP)], EVERY),
    "ICMP over IPv6 may be asked for, or not": (
        at("input", "icmp type 8 drop;"), "delivered", IP6, [protocol(ICMP), whole, kind(8)], SOME),
    "and is where the rule is for IPv6": (
        at("input", "meta nfproto ipv6 icmp type 8 drop;"), "delivered", IP6,
        [protocol(ICMP), whole, kind(8)], NONE),
    "a set that packets change may hold anything": (
        at("input", "add @s { ip saddr }; ip saddr @s drop;",
           more="set s { type ipv4_addr; flags dynamic; };"),
        "delivered", IP, [], SOME),
    "a set that is empty holds nothing": (
        at("input", "ip saddr @s drop;", more="set s { type ipv4_addr; };"), "delivered", IP, [],
        EVERY),
    "meta protocol is not taken for its bytes swapped": (
        at("input", "meta protocol ip drop;"), "delivered", IP6, [], EVERY),
    "any ICMPv6 error may be about a flow": (
        at("input", "ct state != related drop;"), "delivered", IP6,
        [protocol(ICMPV6), whole, kind(100)], SOME),
    "neighbour discovery is not followed": (
        at("input", "ct state != untracked drop;"), "delivered", IP6,
        [protocol(ICMPV6), whole, plain, kind(135)], EVERY),
    "a name of an interface that is not there may come": (
        at("output", 'oifname "new0" drop;'), "sent", IP, [], SOME),
    "but is none that is there": (
        at("output", 'oifname "new0" drop;'), "sent", IP, [to_interface("eth0")], EVERY),
    "what was masqueraded has the interface's address": (
        "table inet t { chain m { type nat hook postrouting priority 100; masquerade; };"
        " chain c { type filter hook postrouting priority 110; policy drop;"
        " ip saddr 10.0.0.1 accept; }; }",
        "sent", IP, [state("new"), to_interface("eth0")], EVERY),
    "where that is not known, it may have any": (
        "table inet t { chain m { type nat hook postrouting priority 100; masquerade; };"
        " chain c { type filter hook postrouting priority 110; policy drop;"
        " ip saddr 10.0.0.1 accept; }; }",
        "sent", IP, [state("new"), to_interface("vif1")], SOME),
    "a redirected port is the new one": (
        "table inet t { chain m { type nat hook prerouting priority -100; tcp dport 80 redirect to"
        " :8080; }; chain c { type filter hook input priority 0; policy drop; tcp dport 8080"
        " accept; }; }",
        "delivered", IP, [protocol(TCP), whole, port(80), state("new")], EVERY),
    "ports of the source are its own": (
        at("input", "udp sport 53 drop;"), "delivered", IP,
        [protocol(UDP), whole, partial(port, 53)(SPORT)], NONE),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_verifier_takes_it_so(case: str) -> None:
    text, way, family, asked, expected = CASES[case]
    assert through(text, way, family, *asked) == expected

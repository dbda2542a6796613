"""Holes planted in the rule files: each is found, with a packet that gets through it.

That such a packet is seen on the wire is for tests/lab/test_verify.py, which plants the same.
"""

from __future__ import annotations

import pytest
from chains import chain
from qube_snapshots import facts, listed, role_text, snapshot

from netchain.verify.claim import Name
from netchain.verify.diagrams import diagrams
from netchain.verify.proof import Finding, Verdict, prove

pytestmark = pytest.mark.lab
NET, FIREWALL, PROXY, TOR, WORK = (
    "sys-net", "sys-firewall", "sys-proxyvm", "sys-whonix", "anon-whonix",
)  # fmt: skip
INGRESS = "chain c { type filter hook ingress device lo priority 0; }"
NEW = 'counter accept comment "hole"'


def broken(
    name: str, *edits: tuple[str, str], profile: str = "vpn-before-tor"
) -> dict[Name, Finding]:
    """What no longer holds of a qube whose rules were edited; each edit must fit somewhere."""
    built = chain(profile)
    text = role_text(built, built[name])
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    there = snapshot(built, built[name], listed(text))
    found = prove(facts(built, built[name]), there, diagrams())
    return {f.name: f for f in found if f.verdict is not Verdict.PROVED}


def within(nft_chain: str, text: str) -> tuple[str, str]:
    """An edit: `text` as the first rule of a chain that is jumped to."""
    return f"\tchain {nft_chain} {{\n", f"\tchain {nft_chain} {{\n\t\t{text}\n"


def at_hook(nft_chain: str, text: str) -> tuple[str, str]:
    """An edit: `text` as the first rule of a filter chain at a hook of that name."""
    head = (
        f"\tchain {nft_chain} {{\n\t\ttype filter hook {nft_chain} priority filter; policy drop;\n"
    )
    return head, f"{head}\t\t{text}\n"


HOLES = {
    "a gateway that forwards": (TOR, [at_hook("forward", NEW)], {Name.NO_FORWARD}),
    "anybody may be tor": (TOR, [(" meta skuid @tor_uid", "")], {Name.TOR_ONLY}),
    "a port that is not tor's": (
        TOR, [within("input_downstream", f"tcp dport 9051 {NEW}")], {Name.PORTS_ONLY}
    ),
    "errors go up": (
        TOR, [within("output_uplink", f"icmp type destination-unreachable {NEW}")],
        {Name.TOR_ONLY, Name.NO_REFLECTION},
    ),
    "a gateway sends down what it will": (
        TOR, [within("output_downstream", NEW)], {Name.ANSWERS_ONLY}
    ),
    "a forged source": (
        TOR, [within("from_downstream", NEW)], {Name.ANTI_SPOOF, Name.CLIENTS_ONLY}
    ),
    "the clear way beside the tunnel": (
        PROXY, [("{ 2 . 3 : jump into_tunnel", "{ 2 . 1 : accept, 2 . 3 : jump into_tunnel")],
        {Name.KILL_SWITCH},
    ),
    "old flows go on in the clear": (
        PROXY, [at_hook("forward", f"ct state established,related {NEW}")],
        {Name.KILL_SWITCH, Name.NO_OTHER_WAY},
    ),
    "any socket is the VPN's": (PROXY, [("meta mark @vpn_mark ", "")], {Name.VPN_ONLY}),
    "its own names into the tunnel": (
        PROXY, [at_hook("output", f"udp dport 53 {NEW}")],
        {Name.NOTHING_OF_ITS_OWN, Name.VPN_ONLY, Name.ANSWERS_ONLY},
    ),
    "the provider opens flows": (
        PROXY, [within("out_of_tunnel", NEW)], {Name.NO_INBOUND, Name.ANSWERS_ONLY}
    ),
    "names past the VPN": (
        FIREWALL, [within("may_pass", f"udp dport 53 {NEW}"),
                   within("to_uplink", f"udp dport 53 {NEW}")],
        {Name.ENDPOINT_ONLY},
    ),
    "a firewall of its own mind": (
        FIREWALL, [at_hook("output", f"meta skuid 0 {NEW}")],
        {Name.NOTHING_OF_ITS_OWN, Name.ANSWERS_ONLY, Name.NO_REFLECTION, Name.NO_OTHER_WAY},
    ),
    "the internet comes in": (
        NET, [("{ 2 . 1 : jump to_uplink", "{ 1 . 2 : accept, 2 . 1 : jump to_uplink"),
              (", 1 . 2 : jump to_downstream", "")],
        {Name.NO_INBOUND, Name.ANSWERS_ONLY},
    ),
    "a qube's own address outside": (
        NET, [("oifgroup 1 counter masquerade", "oifgroup 9 counter masquerade"),
              ("oifgroup 1 ip saddr @wan4 counter accept", "oifgroup 1 counter accept")],
        {Name.ENDPOINT_ONLY, Name.ALIVE},
    ),
    "a workstation forwards": (WORK, [at_hook("forward", NEW)], {Name.NO_FORWARD}),
    "a workstation's own addresses are many": (
        WORK, [at_hook("output", f"tcp dport 80 {NEW}")], {Name.OWN_ONLY, Name.NO_OTHER_WAY}
    ),
    "no drop of its own at the end": (
        FIREWALL, [('\t\tcounter drop comment "every other pair, also from qube to qube"\n', "")],
        {Name.EXPLICIT_DROP},
    ),
}  # fmt: skip


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(hole: str) -> None:
    name, edits, expected = HOLES[hole]
    found = broken(name, *edits)
    assert expected <= set(found)
    for finding in found.values():
        assert finding.verdict is Verdict.BROKEN
        if finding.name in (Name.ALIVE, Name.EXPLICIT_DROP):
            assert finding.witness is None and finding.why
            continue
        assert finding.witness is not None and finding.rule
        assert all("rt" in words for words in finding.witness.assumed)  # `rt nexthop` of vpn-proxy


def test_the_witness_names_the_rule_that_let_it_pass() -> None:
    found = broken(TOR, at_hook("forward", NEW))[Name.NO_FORWARD]
    assert found.witness is not None and found.witness.left.oif == "eth0"
    assert "forward: hole (accept)" in found.witness.rules
    found = broken(FIREWALL, at_hook("output", f"meta skuid 0 {NEW}"))[Name.NOTHING_OF_ITS_OWN]
    assert found.witness is not None and found.witness.left.uid == 0
    assert found.rule == "output: hole (accept)"


def test_a_rule_that_is_not_modelled_may_match_and_is_named() -> None:
    """`limit` may let any packet pass: the witness says that it is assumed to."""
    found = broken(TOR, at_hook("forward", f"limit rate 1/second {NEW}"))[Name.NO_FORWARD]
    assert found.witness is not None
    (words,) = found.witness.assumed
    assert "limit" in words and words.endswith("yes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"table netdev t {{ {INGRESS}; }}",
            "netdev",
        ),
        ("table bridge t { chain c { type filter hook forward priority 0; }; }", "bridge"),
        (f"table inet t {{ {INGRESS}; }}", "ingress"),
        ("table inet t { flags dormant; }", "cannot be understood"),  # nft 1.0.6 prints no JSON
    ],
)
def test_what_cannot_be_reasoned_about_is_no_proof(text: str, words: str) -> None:
    built = chain("vpn-before-tor")
    there = snapshot(built, built[TOR], listed(role_text(built, built[TOR]), text))
    found = prove(facts(built, built[TOR]), there, diagrams())
    assert {finding.verdict for finding in found} == {Verdict.UNPROVED}
    assert words in found[0].why

"""nft: a drop wins over every accept of other tables, and a transaction is all or nothing."""

from __future__ import annotations

import contextlib

import pytest
from wires import Net, Rules, join, send_udp, udp_socket

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_DROPPED, _PASSED = 7001, 7002
_SERVER = "203.0.113.2"

_ACCEPT = """table inet accepting {
    chain accepting { type filter hook %(hook)s priority %(accept)d; policy drop;
        counter accept comment "everything"
    }
}"""
_DROP = """table %(family)s dropping {
    chain dropping { type filter hook %(hook)s priority %(drop)d; policy accept;
        udp dport 7001 counter drop comment "the one"
    }
}"""


class Router:
    """client - router - server; datagrams go through it, or (input, output) to and from it."""

    def __init__(self) -> None:
        self.client, self.router, self.server = Net(), Net(), Net()
        join(self.client, "eth0", self.router, "vif0")
        join(self.router, "eth0", self.server, "vif0")
        self.client.ip("addr add 192.0.2.2/24 dev eth0", "route add default via 192.0.2.1")
        self.router.ip("addr add 192.0.2.1/24 dev vif0", "addr add 203.0.113.1/24 dev eth0")
        self.server.ip(f"addr add {_SERVER}/24 dev vif0", "route add default via 203.0.113.1")
        self.router.sysctl(ipv4__ip_forward=1)

    def passed(self, hook: str) -> list[int]:
        """Which of two ports got through: both are sent, the one that may pass last."""
        sender = self.router if hook == "output" else self.client
        receiver, address = self.server, _SERVER
        if hook == "input":
            receiver, address = self.router, "192.0.2.1"
        with receiver:
            one, other = udp_socket(address, _DROPPED), udp_socket(address, _PASSED)
        with one, other:
            for port in (_DROPPED, _PASSED):
                with sender, contextlib.suppress(PermissionError):  # dropped at output
                    send_udp(address, port)
            other.recv(100)
            one.setblocking(False)
            try:
                return [_DROPPED, _PASSED] if one.recv(100) else []
            except BlockingIOError:
                return [_PASSED]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    ("drop", "accept", "family"),
    [(-500, 0, "inet"), (0, -500, "inet"), (0, 0, "inet"), (-500, 0, "ip"), (0, -500, "ip")],
)
def test_a_drop_wins_over_accepts_of_other_tables(
    hook: str, drop: int, accept: int, family: str
) -> None:
    """docs/decisions/0001: a qube is closed by `inet netchain_blocked` over `inet netchain`."""
    network = Router()
    values = {"hook": hook, "drop": drop, "accept": accept, "family": family}
    with network.router:
        rules = Rules()
    rules.load(_ACCEPT % values)
    assert network.passed(hook) == [_DROPPED, _PASSED], "without the drop both must pass"
    accepted = rules.packets("everything")
    assert accepted >= 2
    rules.load(_DROP % values)
    assert network.passed(hook) == [_PASSED]
    assert rules.packets("the one") == 1
    if accept < drop:
        assert rules.packets("everything") >= accepted + 2, "the other table accepted it first"


_OLD = """table inet netchain {
    set ports { type inet_service; elements = { 22, 80 } }
    chain input { type filter hook input priority filter; policy drop;
        tcp dport @ports counter accept comment "old"
        counter drop
    }
}"""
_REPLACE = """table inet netchain
delete table inet netchain
table inet netchain {
    chain input { type filter hook input priority filter; policy accept;
        counter accept comment "new"
    }
}
"""


_LOOP = """add chain inet netchain a
add chain inet netchain b
add rule inet netchain a jump b
add rule inet netchain b jump a
add rule inet netchain input jump a
"""


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("add rule inet netchain input counter acccept", "syntax error"),
        ("add rule inet netchain nowhere counter accept", "No such file or directory"),
        ("add element inet netchain nowhere { 1 }", "No such file or directory"),
        # Only the kernel itself knows these, when the first half is prepared already:
        ("add rule inet netchain input masquerade", "Operation not supported"),
        (_LOOP, "Too many"),
    ],
    ids=["syntax", "chain", "set", "hook", "loop"],
)
def test_a_transaction_with_an_error_leaves_the_old_table_as_it_is(bad: str, words: str) -> None:
    """Each file of firewall_rules/ deletes its table and makes it anew in one transaction."""
    rules = Rules()
    rules.load(_OLD)
    before = rules.listing(handles=True)
    assert words in rules.refusal(_REPLACE + bad)
    assert rules.listing(handles=True) == before, "handles tell a table that was made again"
    rules.load(_REPLACE)
    assert "new" in rules.listing() and "old" not in rules.listing()

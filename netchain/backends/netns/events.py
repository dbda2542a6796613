"""Sockets on which the kernel tells that something of a node's network has changed (keeper's).

One for links, addresses, routes, policy rules, neighbours, queueing disciplines and the settings
that have notifications (rtnetlink(7); linux/rtnetlink.h, enum rtnetlink_groups), one for rules
(nfnetlink, NFNLGRP_NFTABLES). Who loses messages gets ENOBUFS once, which is an event, too.
"""

from __future__ import annotations

import socket

from netchain.backends.netns import nodes

_NETLINK_NETFILTER = 12
_NFTABLES = 1 << 6
_LINK, _NEIGH, _TC, _ADDR4, _ROUTE4, _RULE4 = 1, 3, 4, 5, 7, 8
_ADDR6, _ROUTE6, _RULE6, _NETCONF4, _NETCONF6 = 9, 11, 19, 24, 25
_NETWORK = (_LINK, _NEIGH, _TC, _ADDR4, _ROUTE4, _RULE4, _ADDR6, _ROUTE6, _RULE6, _NETCONF4,
            _NETCONF6)  # fmt: skip


def open_events(node: nodes.Node, home: int) -> list[socket.socket]:
    """Both sockets; they keep the namespace alive, so whoever gets them closes them in time."""
    opened: list[socket.socket] = []
    groups = ((socket.NETLINK_ROUTE, sum(1 << (number - 1) for number in _NETWORK)),
              (_NETLINK_NETFILTER, _NFTABLES))  # fmt: skip
    try:
        with nodes.within(node.netns, home):
            for family, mask in groups:
                kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
                opened.append(socket.socket(socket.AF_NETLINK, kind, family))
                opened[-1].bind((0, mask))
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened

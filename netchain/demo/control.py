"""The control: with the rules opened, what the workstation sends must be seen and judged a leak.

A detector that was never seen to fire proves nothing. sys-proxyvm is opened first, rules and
routes, then the hops behind it, which hold the same promise again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from netchain.backends.base import User
from netchain.lab import internet
from netchain.model.addressing import UPLINK, address4
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.site import Site
from netchain.wire.capture import Captured
from netchain.wire.judge import judge

_CONTROL_S = 20.0
OPEN_RULES = """table inet netchain
delete table inet netchain
table inet netchain {
  chain out { type nat hook postrouting priority srcnat; oifgroup 1 masquerade; }
}
"""
Say = Callable[[str], None]


def run(chain: Chain, site: Site, say: Say) -> dict[str, Any]:
    """Open sys-proxyvm, then the hops behind it, until the workstation's fetch is seen on the
    uplink outside the VPN; how many such frames were judged a leak, by link."""
    mark = site.sensor.tap.mark()
    proxy = chain.with_role(Role.VPN_PROXY)[0]
    opened = []
    for qube in [proxy, *chain.upstream(proxy.name)]:
        say(f"control: opening {qube.name}")
        site.backend.load_rules(chain, qube.name, OPEN_RULES)
        opened.append(str(qube.name))
        if qube is proxy:
            _route_around(chain, site, proxy.name)
    _provoke(chain, site)
    links = {n: site.sensor.tap.frames(n, mark) for n in site.sensor.injected}
    judged = judge(chain, site.timeline, links, site.sensor.injected)
    leaked = {v.link: len(v.leaks) for v in judged}
    return {"leaked": leaked["isp"], "opened": opened, "by_link": leaked}


def _route_around(chain: Chain, site: Site, proxy: QubeName) -> None:
    """Take the second lock away, too: a default route past the tunnel."""
    via = str(address4(chain, str(chain[proxy].netvm)))
    route = ["ip", "route", "replace", "default", "via", via, "dev", UPLINK, "onlink"]
    route += ["metric", "1"]
    site.backend.execute(chain, proxy, route, timeout=10)


def _provoke(chain: Chain, site: Site) -> None:
    """Fetch as before until something of it is on the uplink, 20 s at most."""

    def outside(captured: Captured) -> bool:
        item = {"isp": [captured]}
        return bool(judge(chain, site.timeline, item, site.sensor.injected)[0].leaks)

    workstation = chain.with_role(Role.WORKSTATION)[0].name
    argv = ["curl", "-s", "-m", "3", f"http://{internet.SITE_NAME}/control"]
    until = time.monotonic() + _CONTROL_S
    while time.monotonic() < until:
        site.backend.execute(chain, workstation, argv, timeout=10, user=User.PERSON)
        if not site.sensor.tap.wait_for(outside, ["isp"], 0.5):
            return

"""The control: with the rules opened, what the workstation sends must be seen and judged a leak.

A detector that was never seen to fire proves nothing. sys-proxyvm is opened first, rules and
routes, then the hops behind it, which hold the same promise again: each tap is seen to fire, and
each hop is seen to hold while the one before it is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from netchain.backends.base import User
from netchain.lab import internet
from netchain.model.addressing import address4
from netchain.model.allowed import Link
from netchain.model.chain import Chain, Role
from netchain.model.names import QubeName
from netchain.site import Site
from netchain.wire.capture import Captured, Mark
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
    """Open sys-proxyvm, then the hops behind it one by one, each time until the workstation's fetch
    leaks on the link of the hop just opened.

    `stages` counts, hop by hop, the leaks on that link and what got as far as the uplink by then:
    nothing may, until the last hop is open. `leaked` counts those on the uplink at the end.
    """
    mark = site.sensor.tap.mark()
    proxy = chain.with_role(Role.VPN_PROXY)[0]
    stages = []
    for qube in [proxy, *chain.upstream(proxy.name)]:
        say(f"control: opening {qube.name}")
        site.backend.load_rules(chain, qube.name, OPEN_RULES)
        if qube is proxy:
            _route_around(chain, site, proxy.name)
        link = Link(qube.name, qube.netvm).name
        _provoke(chain, site, link, mark)
        leaked = _leaked(chain, site, mark)
        stages.append({"opened": str(qube.name), "link": link, "leaked": leaked[link],
                       "uplink": leaked["isp"]})  # fmt: skip
    opened = [stage["opened"] for stage in stages]
    return {"leaked": leaked["isp"], "opened": opened, "by_link": leaked, "stages": stages}


def doubts(control: dict[str, Any]) -> list[str]:
    """What the control did not show."""
    stages = control["stages"]
    found = [f"the control was not seen on {s['link']}" for s in stages if not s["leaked"]]
    found += [
        f"with {stage['opened']} opened, {stage['uplink']} frames got as far as the uplink"
        for stage in stages[:-1]
        if stage["uplink"]
    ]
    return found


def words(control: dict[str, Any]) -> list[str]:
    """One line a hop, for people."""
    return [
        f"{stage['opened']} opened: frames on {stage['link']} judged a leak: {stage['leaked']}"
        + (f", {stage['uplink']} got to the uplink" if stage["link"] != "isp" else "")
        for stage in control["stages"]
    ]


def _leaked(chain: Chain, site: Site, mark: Mark) -> dict[str, int]:
    """Frames since the mark that were judged a leak, by link."""
    site.sensor.settle()
    links = {n: site.sensor.tap.frames(n, mark) for n in site.sensor.injected}
    judged = judge(chain, site.timeline, links, site.sensor.injected)
    return {v.link: len(v.leaks) for v in judged}


def _route_around(chain: Chain, site: Site, proxy: QubeName) -> None:
    """Take the second lock away, too: a default route past the tunnel."""
    via = str(address4(chain, str(chain[proxy].netvm)))
    dev = site.backend.uplink(chain, Link(proxy, chain[proxy].netvm))
    route = ["ip", "route", "replace", "default", "via", via, "dev", dev, "onlink"]
    route += ["metric", "1"]
    site.backend.execute(chain, proxy, route, timeout=10)


def _provoke(chain: Chain, site: Site, link: str, mark: Mark) -> None:
    """Fetch as before until something of it leaks on the link, 20 s at most."""

    def outside(captured: Captured) -> bool:
        item = {link: [captured]}
        return bool(judge(chain, site.timeline, item, site.sensor.injected)[0].leaks)

    workstation = chain.with_role(Role.WORKSTATION)[0].name
    argv = ["curl", "-s", "-m", "0.3", f"http://{internet.SITE_NAME}/control"]
    until = time.monotonic() + _CONTROL_S
    while time.monotonic() < until:
        site.backend.execute(chain, workstation, argv, timeout=10, user=User.PERSON)
        if not site.sensor.tap.wait_for(outside, [link], 0.5, mark):
            return

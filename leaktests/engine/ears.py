"""Hearing a whole chain: every link and every tunnel, with a way to send from both ends."""

from __future__ import annotations

from netchain.errors import NetchainError
from netchain.model.allowed import links, tunnels
from netchain.model.chain import Chain
from netchain.site import Site


def arm(chain: Chain, site: Site) -> list[str]:
    """Hear what is not heard yet; a doubt for each that cannot be (it is not there, say)."""
    doubts = []
    for link in (*links(chain), *tunnels(chain)):
        try:
            site.sensor.arm(chain, link)
            if not link.tunnel:
                site.sensor.arm_down(chain, link)
        except (NetchainError, OSError) as error:
            doubts.append(f"nobody can listen on {link.name}: {error}")
    return doubts

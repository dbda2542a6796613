"""The probes and faults, a file a topic."""

from __future__ import annotations

from leaktests.catalogue import (
    conntrack,
    destinations,
    dns,
    fragments,
    inbound,
    link_scope,
    protocol,
    protocol_ip,
    spoofed,
    sweeps,
)
from leaktests.engine.probe import Probe

TOPICS = (
    protocol.topic,
    protocol_ip.topic,
    sweeps.topic,
    fragments.topic,
    spoofed.topic,
    link_scope.topic,
    dns.topic,
    destinations.topic,
    inbound.topic,
    conntrack.topic,
)


def probes() -> tuple[Probe, ...]:
    """Every probe of every topic."""
    return tuple(probe for topic in TOPICS for probe in topic.probes)

"""The probes and faults, a file a topic."""

from __future__ import annotations

from leaktests.catalogue import protocol, protocol_ip, sweeps
from leaktests.engine.probe import Probe

TOPICS = (protocol.topic, protocol_ip.topic, sweeps.topic)


def probes() -> tuple[Probe, ...]:
    """Every probe of every topic."""
    return tuple(probe for topic in TOPICS for probe in topic.probes)

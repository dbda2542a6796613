"""The probes and faults, a file a topic."""

from __future__ import annotations

from leaktests.catalogue import (
    conntrack,
    destinations,
    dns,
    faults_fragments,
    faults_gateways,
    faults_inbound,
    faults_link,
    faults_names,
    faults_routes,
    faults_rules,
    faults_server,
    faults_tor,
    faults_tor_ways,
    faults_tunnels,
    faults_uplink,
    faults_vpn,
    fragments,
    inbound,
    link_scope,
    neighbours,
    protocol,
    protocol_ip,
    spoofed,
    sweeps,
)
from leaktests.engine.fault import Fault
from leaktests.engine.probe import Probe

TOPICS = (
    protocol.topic,
    protocol_ip.topic,
    sweeps.topic,
    fragments.topic,
    spoofed.topic,
    link_scope.topic,
    neighbours.topic,
    dns.topic,
    destinations.topic,
    inbound.topic,
    conntrack.topic,
)


def probes() -> tuple[Probe, ...]:
    """Every probe of every topic."""
    return tuple(probe for topic in TOPICS for probe in topic.probes)


FAULTS = (
    faults_vpn.topic,
    faults_tor.topic,
    faults_tor_ways.topic,
    faults_tunnels.topic,
    faults_rules.topic,
    faults_link.topic,
    faults_uplink.topic,
    faults_routes.topic,
    faults_inbound.topic,
    faults_gateways.topic,
    faults_server.topic,
    faults_names.topic,
    faults_fragments.topic,
)


def faults() -> tuple[Fault, ...]:
    """Every fault of every topic, in the order in which they are tried."""
    return tuple(fault for topic in FAULTS for fault in topic.faults)

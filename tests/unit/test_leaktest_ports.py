"""Every port and protocol: the packets are right, each is there once, no table is filled."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from chains import chain
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from leaktests.engine import ports
from leaktests.engine.shot import Markers, Shot
from netchain.wire.decode import decode

CHAIN = chain("vpn-before-tor")
ADDRESSES = ("192.0.2.1", "2001:db8:dead::1")


@pytest.fixture(scope="module")
def sweeps() -> dict[str, list[Shot]]:
    """Those of the first place that sends up: all shots to the addresses that are looked at, the
    first few to the others."""
    found: dict[str, list[Shot]] = {}
    for name, shots in ports.sweeps(CHAIN, Markers(1)):
        if name in found or not name.startswith("sys-firewall "):
            break
        looked_at = name.removeprefix("sys-firewall to ") in ADDRESSES
        found[name] = list(shots if looked_at else islice(shots, 10))
    return found


def test_every_class_and_family_has_its_sweep(sweeps: dict[str, list[Shot]]) -> None:
    assert len(sweeps) > 10
    assert any(" 192.0.2.1" in name for name in sweeps)
    assert any(" 2001:db8:dead::1" in name for name in sweeps)


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_port_and_protocol_once(sweeps: dict[str, list[Shot]], address: str) -> None:
    shots = sweeps[f"sys-firewall to {address}"]
    assert len(shots) == 131_328
    assert len({shot.frame for shot in shots}) == 131_328
    seen = Counter[tuple[str, int | None]]()
    for shot in shots:
        flow = decode(shot.frame)
        number = flow.dport if shot.probe.id in ("P28", "P29") else flow.protocol
        seen[shot.probe.id, number] += 1
    assert {seen[id_, port] for id_ in ("P28", "P29") for port in range(65536)} == {1}


@pytest.mark.parametrize("layer", [UDP, TCP])
@pytest.mark.parametrize("address", ADDRESSES)
def test_checksums_are_as_scapy_makes_them(
    sweeps: dict[str, list[Shot]], address: str, layer: type
) -> None:
    id_ = "P28" if layer is UDP else "P29"
    shots = [shot for shot in sweeps[f"sys-firewall to {address}"] if shot.probe.id == id_]
    for port in (0, 1, 255, 256, 32768, 51820, 65535):
        frame = shots[port].frame
        read = Ether(frame)
        assert read[layer].dport == port
        del read[layer].chksum
        (read[IP] if IP in read else read[IPv6]).len = None
        read[IPv6 if IPv6 in read else IP].plen = None
        assert bytes(Ether(bytes(read))) == frame


def test_what_fills_tables_goes_to_one_address_only() -> None:
    """tor may send TCP anywhere: 65,536 flows for each address would be remembered."""
    sent = Counter[str]()
    for name, shots in ports.sweeps(CHAIN, Markers(1)):
        if name.startswith("sys-whonix "):
            sent[name] = sum(shot.probe.id == "P29" for shot in shots)
    assert {name for name, count in sent.items() if count} == {
        "sys-whonix to 192.0.2.1",
        "sys-whonix to 2001:db8:dead::1",
    }

"""What the qubes below send that a netvm is there to carry (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from leaktests.mutants.messages import NUMBERS, WIREGUARD
from leaktests.mutants.traffic import WEB
from netchain.model.addressing import address4, address6
from netchain.model.chain import Address, Chain, Endpoint, Qube, Role
from netchain.wire import build

PORT = 47000


def behind(chain: Chain, client: Qube) -> Iterator[Qube]:
    if client.role is Role.FIREWALL:
        for one in chain.clients(client.name):
            yield from behind(chain, one)
    else:
        yield client


def wanted(chain: Chain, sender: Qube) -> Iterator[bytes]:
    """What a qube sends that its netvm must carry."""
    if sender.role is Role.VPN_PROXY and sender.vpn is not None and sender.vpn.settings is not None:
        end: Endpoint = sender.vpn.settings.endpoint
        own = address_of(chain, sender, end.address.version)
        yield build.udp(own, end.address, PORT, end.port, WIREGUARD)
        return
    for version in (4, 6):
        own, web = address_of(chain, sender, version), WEB[version]
        if sender.role in (Role.WORKSTATION, Role.TOR_GATEWAY):
            yield build.tcp(own, web, PORT, 443, "S", NUMBERS)
        if sender.role is Role.WORKSTATION:
            yield build.udp(own, web, PORT, 443, b"x")
            yield build.ping(own, web, b"x")


def ping_like_a_question(source: Address, to: Address) -> bytes:
    """A ping whose checksum, 53, stands where UDP and TCP have the port."""
    at = 22 if source.version == 4 else 42
    found = int.from_bytes(build.ping(source, to, bytes(2))[at : at + 2])
    return build.ping(source, to, ((found - 53) % 0xFFFF).to_bytes(2))


def address_of(chain: Chain, qube: Qube, version: int) -> Address:
    return address4(chain, qube.name) if version == 4 else address6(chain, qube.name)

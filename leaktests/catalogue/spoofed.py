"""S. Spoofed and martian sources: who a packet says that it is from must not open a way."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from scapy.packet import Packet

from leaktests.engine.probe import Aim, Topic
from netchain.model.allowed import Direction
from netchain.model.chain import Address

topic = Topic("spoofed sources")
PUBLIC = {4: "203.0.113.77", 6: "2001:db8:beef::77"}
_MARTIAN = "a martian source: every router drops it"


def _from(aim: Aim, sources: Iterable[Address | str]) -> list[bytes]:
    """Ping, UDP and TCP from each source of this family."""
    addresses = (ip_address(source) if isinstance(source, str) else source for source in sources)
    mine = [address for address in addresses if address.version == aim.version]
    return [packet for source in mine for packet in aim.all_three(src=source)]


@topic.probe("S01", "from the address of another qube")
def other_qube(aim: Aim) -> list[bytes]:
    return _from(aim, aim.place.others(aim.version))


@topic.probe("S01", "from the address of another qube, down the link", direction=Direction.DOWN)
def other_qube_down(aim: Aim) -> list[bytes]:
    return _from(aim, aim.place.others(aim.version))


@topic.probe("S02", "from a public address")
def public(aim: Aim) -> list[bytes]:
    return _from(aim, [PUBLIC[aim.version]])


@topic.probe(
    "S02", "from a public address, to the VPN server's own port", classes=("R03",),
    why_not="the reverse path check drops it before any rule",
)  # fmt: skip
def public_to_endpoint(aim: Aim) -> list[bytes]:
    end = aim.endpoint
    return [] if end is None else [aim.datagram(end.port, src=ip_address(PUBLIC[aim.version]))]


@topic.probe("S03", "from the gateway's own address, and the uplink's")
def gateway(aim: Aim) -> list[bytes]:
    wan = aim.place.chain.wan
    own = [] if wan is None else [a for a in (wan.address4, wan.address6) if a is not None]
    return _from(aim, [aim.place.peer(aim.version), *own])


@topic.probe("S04", "from the tunnel's address")
def tunnel(aim: Aim) -> list[bytes]:
    return _from(aim, [] if aim.tunnel is None else [aim.tunnel])


@topic.probe(
    "S05",
    "from the VPN server's address",
    why_not="the reverse path check drops it before any rule",
)
def endpoint(aim: Aim) -> list[bytes]:
    return _from(aim, [] if aim.endpoint is None else [aim.endpoint.address])


@topic.probe("S06", "from loopback", why_not=_MARTIAN)
def loopback(aim: Aim) -> list[bytes]:
    return _from(aim, ["127.0.0.1", "127.8.8.8", "::1"])


@topic.probe("S06", "to loopback of the gateway", why_not="no router routes loopback")
def to_loopback(aim: Aim) -> list[bytes]:
    return aim.all_three(dst=ip_address("127.0.0.1" if aim.version == 4 else "::1"))


@topic.probe("S07", "from nobody, everybody and a group", why_not=_MARTIAN)
def nobody(aim: Aim) -> list[bytes]:
    return _from(aim, ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"])  # noqa: S104


@topic.probe("S08", "from a link-local address", why_not="its scope is one link")
def link_local(aim: Aim) -> list[bytes]:
    return _from(aim, ["169.254.7.7", "fe80::216:3eff:fe5e:6c00", "fe80::1"])


@topic.probe("S08", "from an address of the qubes' range that no qube has")
def nobodys(aim: Aim) -> list[bytes]:
    return _from(aim, ["10.137.0.200", "10.138.0.1", "fd09:24ef:4179::a89:c8"])


@topic.probe("S09", "from addresses that hold IPv4 ones", families=(6,))
def embedded(aim: Aim) -> list[bytes]:
    """Mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380)."""
    inside = "cb00:714d"
    return _from(aim, [f"::ffff:{inside}", f"64:ff9b::{inside}", f"2002:{inside}::1", "2001::1"])


@topic.probe("S02", "from a public address and another qube's, a question to the gateway",
             why_not="it is for the gateway itself")  # fmt: skip
def asked_in_the_name_of_others(aim: Aim) -> list[bytes]:
    sources = (ip_address(PUBLIC[aim.version]), *aim.place.others(aim.version))
    peer = aim.place.peer(aim.version)
    return [aim.datagram(53, src=source, dst=peer) for source in sources]


@topic.probe("S10", "from a public address to ports that would refuse")
def reflected(aim: Aim) -> list[bytes]:
    """Whoever rejects it tells a stranger upstream, in an error that quotes this packet."""
    source, peer = ip_address(PUBLIC[aim.version]), aim.place.peer(aim.version)
    return [
        *aim.all_three(src=source, dst=peer),
        aim.datagram(9, src=source, dst=peer), aim.segment(9, src=source, dst=peer),
        aim.segment(443, "A", src=source), aim.datagram(33434, src=source),
    ]  # fmt: skip


@topic.probe("S11", "with the MAC address of another qube")
def other_mac(aim: Aim) -> list[Packet]:
    """From the right IP address: only the Ethernet header lies."""
    macs = ("00:16:3e:5e:6c:01", aim.place.peer_mac)
    packet = aim.ip() / aim.udp(4444) / aim.load
    return [aim.ether(src=mac) / packet for mac in macs]


@topic.probe("S12", "from the address that it is for")
def land(aim: Aim) -> list[bytes]:
    peer = aim.place.peer(aim.version)
    return [*aim.all_three(src=peer, dst=peer), *aim.all_three(src=aim.to)]

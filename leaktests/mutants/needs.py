"""The flows without which a role is of no use: a mutant that stops one of them is dead.

Each need is one exchange of packets on the bench: a flow goes out the right way, its answer comes
back, errors about it are told, neighbours are answered.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from leaktests.mutants import messages
from leaktests.mutants.bench import Bench
from leaktests.mutants.exchanges import Exchanges, Needs
from leaktests.mutants.messages import NAME, NUMBERS, WIREGUARD
from leaktests.mutants.scenes import BLOCKED, Scene
from leaktests.mutants.traffic import WEB
from leaktests.mutants.wanted import PORT, address_of, behind, ping_like_a_question, wanted
from netchain.model.addressing import TUNNEL, UPLINK, VIRTUAL_DNS, address6
from netchain.model.chain import Address, Qube, Role
from netchain.tor.torrc import DNS_PORT, SOCKS_PORTS, TRANS_PORT
from netchain.wire import build
from netchain.wire.decode import decode

_TCP = 6
_REQUEST = {4: 13, 6: 139}  # timestamp, node information: requests that are no ping
_RESET_AND_ACK, _SYN_AND_ACK = 0x14, 0x12
_MSS_1460 = b"\x02\x04\x05\xb4"
_FITTING: dict[int, int] = {4: 1380, 6: 1360}  # of a tunnel of 1420


def of(scene: Scene, bench: Bench) -> Needs:
    """Each need of the role, and whether it works."""
    yield from _loopback()
    tried = _Tried(scene, bench)
    if scene.role == BLOCKED:
        return
    yield from tried.neighbours()
    match scene.role:
        case Role.WORKSTATION:
            yield from tried.workstation()
        case Role.TOR_GATEWAY:
            yield from tried.tor_gateway()
        case Role.VPN_PROXY:
            yield from tried.vpn_proxy()
        case Role.FIREWALL | Role.NET:
            yield from tried.passes_on()


def _loopback() -> Needs:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind((host, 0))
            one.settimeout(0.2)
            try:
                one.sendto(b"x", one.getsockname())
                yield f"loopback {host}", one.recv(9) == b"x"
            except OSError:
                yield f"loopback {host}", False


class _Tried(Exchanges):
    """What each role must do."""

    def neighbours(self) -> Needs:
        """A neighbour's question is answered, and one is asked of a neighbour."""
        ends = {UPLINK: (self._far6(UPLINK), self._near6())}
        for vif in self._bench.vifs:
            ends[vif] = (self._far6(vif), address6(self._chain, self._me.name))
        for link, (far, near) in ends.items():
            group = ip_address(b"\xff\x02" + bytes(9) + b"\x01\xff" + near.packed[-3:])
            for to in (near, group):
                seen = self._through(link, messages.neighbour(135, far, to, near))[link]
                yield (
                    f"a neighbour on {link} that asks {to} is answered",
                    any(f.icmp_type == 136 for f in seen),
                )
            seen = self._own(link, messages.neighbour(135, near, far, far))[link]
            yield f"a neighbour on {link} is asked", any(f.icmp_type == 135 for f in seen)
            told = self._through(link, messages.neighbour(136, far, near, far))["delivered"]
            yield f"a neighbour's answer on {link}", any(f.icmp_type == 136 for f in told)

    def _far6(self, link: str) -> Address:
        if link in self._bench.vifs:
            return address6(self._chain, self._bench.vifs[link].name)
        if self._me.netvm is not None:
            return address6(self._chain, self._me.netvm)
        wan = self._chain.wan
        assert wan is not None and wan.gateway6 is not None
        return wan.gateway6

    def _near6(self) -> Address:
        wan = self._chain.wan
        if self._me.netvm is None and wan is not None and wan.address6 is not None:
            return wan.address6
        return address6(self._chain, self._me.name)

    def workstation(self) -> Needs:
        netvm = self._chain[str(self._me.netvm)]
        torified = netvm.role is Role.TOR_GATEWAY
        for version in (4,) if torified else (4, 6):
            own, web = address_of(self._chain, self._me, version), WEB[version]
            packets = [build.tcp(own, web, PORT, 443, "S", NUMBERS)]
            if torified:
                packets.append(build.udp(own, address_of(self._chain, netvm, 4), PORT, 53, NAME))
            else:
                packets += [build.udp(own, web, PORT, 443, b"x"), build.ping(own, web, b"x")]
            for packet in packets:
                yield from self._sent(packet)
        for version in (4, 6):
            own = address_of(self._chain, self._me, version)
            seen = self._own(UPLINK, build.icmp(own, WEB[version], _REQUEST[version], 0, bytes(20)))
            heard = {f.icmp_type for f in seen["delivered"]}
            yield f"a refusal over IPv{version} is told", (3 if version == 4 else 1) in heard

    def tor_gateway(self) -> Needs:
        for version in (4, 6):
            own = address_of(self._chain, self._me, version)
            yield from self._sent(build.tcp(own, WEB[version], PORT, 9001, "S", NUMBERS))
        own4 = address_of(self._chain, self._me, 4)
        for vif, client in self._bench.vifs.items():
            source = address_of(self._chain, client, 4)
            for to, port in ((WEB[4], 443), (WEB[4], 9050), (own4, 9050), (own4, 9105)):
                syn = build.tcp(source, to, PORT, port, "S", NUMBERS)
                seen = self._through(vif, syn)
                refused = [f for f in seen[vif] if f.tcp_flags == _RESET_AND_ACK]
                taken = {f.dport for f in seen["delivered"]}
                tors = taken == {port if to == own4 else TRANS_PORT}
                yield f"TCP to {to}:{port} from {vif} is tor's", tors
                answered = any(f.source == to.packed and f.sport == port for f in refused)
                yield f"TCP to {to}:{port} from {vif} is answered", answered
            question = build.udp(source, own4, PORT, 53, NAME)
            told = self._through(vif, question)[vif]
            yield f"a closed DNSPort is told on {vif}", any(f.icmp_type == 3 for f in told)
            yield from self._served(vif, source, own4)

    def _served(self, vif: str, client: Address, own: Address) -> Needs:
        """Tor's answers, and what the client sends then."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
            names.bind((str(own), DNS_PORT))
            names.settimeout(0.2)
            question = build.udp(client, own, PORT + 1, 53, NAME)
            for turn in ("first", "second"):
                self._through(vif, question)
                try:
                    _, whom = names.recvfrom(99)
                    names.sendto(b"address", whom)
                    seen = self._seen()[vif]
                except OSError:
                    seen = []
                yield f"the {turn} name is told on {vif}", any(f.sport == 53 for f in seen)
        for port, to, asked in ((TRANS_PORT, WEB[4], 443), (SOCKS_PORTS[0], own, SOCKS_PORTS[0])):
            with socket.create_server((str(own), port)):
                syn = build.tcp(client, to, PORT + 1, asked, "S", NUMBERS)
                answers = self._through(vif, syn)[vif]
                opened = any(f.tcp_flags == _SYN_AND_ACK for f in answers)
                yield f"a stream to {port} is opened from {vif}", opened
                ack = build.tcp(client, to, PORT + 1, asked, "PA", NUMBERS, b"GET")
                more = self._through(vif, ack)["delivered"]
                yield f"a stream to {port} goes on from {vif}", any(f.dport == port for f in more)

    def vpn_proxy(self) -> Needs:
        vpn = self._me.vpn
        assert vpn is not None and vpn.settings is not None
        inside: dict[int, Address] = {
            address.version: address for address in vpn.settings.addresses
        }
        for vif, client in self._bench.vifs.items():
            for packet in wanted(self._chain, client):
                yield from self._goes(vif, packet, TUNNEL, inside[messages.version(packet)])
            if client.role is Role.WORKSTATION:
                yield from self._names(vif, client, vpn.settings.dns)
                yield from self._is_no_name(vif, client)
                yield from self._fits(vif, client)
            yield from self._too_big(vif, client)
        end = vpn.settings.endpoint
        own = address_of(self._chain, self._me, end.address.version)
        yield from self._sent(build.udp(own, end.address, PORT, end.port, WIREGUARD))

    def _names(self, vif: str, client: Qube, dns: tuple[Address, ...]) -> Needs:
        for resolver in dns:
            version = resolver.version
            asked = VIRTUAL_DNS[0] if version == 4 else WEB[6]
            source = address_of(self._chain, client, version)
            questions = (
                build.udp(source, asked, PORT + 2, 53, NAME),
                build.tcp(source, asked, PORT + 2, 53, "S", NUMBERS),
            )
            for packet in questions:
                seen = self._through(vif, packet)[TUNNEL]
                there = any(flow.destination == resolver.packed for flow in seen)
                yield f"IPv{version} names of {vif} are asked of the VPN's resolver", there

    def _is_no_name(self, vif: str, client: Qube) -> Needs:
        for version in (4, 6):
            to = WEB[version] + 3
            packet = ping_like_a_question(address_of(self._chain, client, version), to)
            seen = self._through(vif, packet)[TUNNEL]
            there = any(flow.destination == to.packed for flow in seen)
            yield f"an IPv{version} ping of {vif} is not taken for a name", there

    def _fits(self, vif: str, client: Qube) -> Needs:
        for version, most in _FITTING.items():
            source = address_of(self._chain, client, version)
            syn = build.tcp(source, WEB[version], PORT + 3, 443, "S", NUMBERS, b"", _MSS_1460)
            self._bench.send(vif, [self._bench.framed(vif, syn)])
            out = self._bench.seen()[0][TUNNEL]
            fits = any(frame[-2:] == most.to_bytes(2) for frame in out)
            yield f"IPv{version} segments of {vif} fit the tunnel", fits

    def _too_big(self, vif: str, sender: Qube) -> Needs:
        """Who may send something is told when it is too big."""
        for packet in wanted(self._chain, sender):
            flow, version = decode(messages.ether(packet)), packet[0] >> 4
            ends, ports = messages.addresses(packet), (PORT + 4, flow.dport or 0)
            if flow.protocol == _TCP:
                big = build.tcp(*ends, *ports, "S", NUMBERS, bytes(1400))
            elif flow.dport:
                big = build.udp(*ends, *ports, WIREGUARD + bytes(1340))
            else:
                continue
            seen = self._through(vif, messages.not_fragmented(big) if version == 4 else big)[vif]
            kinds = {(f.icmp_type, f.icmp_code) for f in seen}
            yield (
                f"what is too big over IPv{version} is told on {vif}",
                bool(kinds & {(3, 4), (2, 0)}),
            )

    def passes_on(self) -> Needs:
        masked = self._me.role is Role.NET
        wan = self._chain.wan
        for vif, client in self._bench.vifs.items():
            for sender in behind(self._chain, client):
                yield from self._too_big(vif, sender)
                for packet in wanted(self._chain, sender):
                    outside = None
                    if masked and wan is not None:
                        outside = wan.address4 if messages.version(packet) == 4 else wan.address6
                    yield from self._goes(vif, packet, UPLINK, outside)

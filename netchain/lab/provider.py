"""The lab's VPN providers: a WireGuard server each, with a fixed number of customers.

Customer N of a provider is whoever is plugged into the router's port N, so that several chains
can use one provider at the same time. Keys are made once with wg(8) and kept 0600.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from netchain import files
from netchain.backends.base import Service, Tunnel
from netchain.lab import internet
from netchain.model.addressing import TUNNEL
from netchain.model.chain import Endpoint, VpnSettings
from netchain.vpn import wireguard
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard

_NAT = """table inet provider {
  chain dns {
    type nat hook prerouting priority dstnat
    iifname "wg0" meta l4proto { tcp, udp } th dport 53 dnat ip to DNS4
  }
  chain out {
    type nat hook postrouting priority srcnat
    oifname "eth0" masquerade
  }
}
"""


@dataclass(frozen=True)
class Provider:
    """One provider; `index` tells its inner networks apart."""

    name: str
    directory: Path

    @property
    def _index(self) -> int:
        return internet.PROVIDERS.index(self.name)

    def gateway4(self) -> IPv4Address:
        return IPv4Address(f"10.{64 + self._index}.0.1")

    def gateway6(self) -> IPv6Address:
        return IPv6Address(f"fd00:{64 + self._index}::1")

    def _key(self, who: str) -> str:
        """The private key of the server or of a customer; made when it is not there yet."""
        path = self.directory / f"{self.name}-{who}.key"
        if not path.exists():
            key = subprocess.run(["wg", "genkey"], check=True, capture_output=True).stdout
            files.write_private(path, key)
        return path.read_text().strip()

    def _public(self, who: str) -> str:
        done = subprocess.run(
            ["wg", "pubkey"], input=self._key(who), text=True, check=True, capture_output=True
        )
        return done.stdout.strip()

    def customer(self, number: int) -> WireGuard:
        """The configuration that customer `number` would get from the provider."""
        settings = VpnSettings(
            "wireguard",
            Endpoint(internet.host(self.name).address4, internet.VPN_PORT),
            (self.gateway4() + 1 + number, self.gateway6() + 1 + number),
            (self.gateway4(),),
        )
        return WireGuard(settings, Secret(self._key(f"customer{number}")), self._public("server"))

    def tunnel(self) -> Tunnel:
        return Tunnel(TUNNEL, (self.gateway4(), self.gateway6()), default_route=False)

    def routes(self) -> list[dict[str, str]]:
        """The customers are behind the tunnel."""
        return [
            {"do": "route", "dev": TUNNEL, "to": f"{self.gateway4() - 1}/24"},
            {"do": "route", "dev": TUNNEL, "to": f"{self.gateway6() - 1}/64"},
        ]

    def setconf(self) -> bytes:
        lines = [f"[Interface]\nPrivateKey = {self._key('server')}"]
        lines.append(f"ListenPort = {internet.VPN_PORT}")
        for number in range(internet.MAX_PORTS):
            addresses = (self.gateway4() + 1 + number, self.gateway6() + 1 + number)
            inner = ", ".join(f"{a}/{a.max_prefixlen}" for a in addresses)
            public = self._public(f"customer{number}")
            lines.append(f"[Peer]\nPublicKey = {public}\nAllowedIPs = {inner}")
        return ("\n".join(lines) + "\n").encode()

    def saved_setconf(self) -> bytes:
        """`setconf`, made once and kept (0600): asking wg for each key takes a while."""
        path = self.directory / f"{self.name}.setconf"
        if not path.exists():
            files.write_private(path, self.setconf())
        return path.read_bytes()

    def rules(self) -> str:
        return _NAT.replace("DNS4", str(internet.host(internet.DNS).address4))

    def service(self) -> Service:
        return wireguard.userspace_service(self.saved_setconf(), self.tunnel().mtu)

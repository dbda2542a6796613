"""The programs that a role needs: which, from what configuration, started and stopped.

Each program has a version, the digest of everything that it is started with; a plan compares it
with what runs. A digest over a private key tells nothing of it (SHA-256 of 256 random bits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from netchain.backends.base import digest
from netchain.errors import NetchainError, Problem
from netchain.model.addressing import TUNNEL, address4
from netchain.model.allowed import Link
from netchain.model.chain import Chain, Qube, Role
from netchain.site import Site
from netchain.tor import torrc
from netchain.vpn import wireguard
from netchain.vpn.wireguard import WireGuard


def wanted(chain: Chain, site: Site, qube: Qube) -> Mapping[str, str]:
    """The supervised programs that the qube's role needs, and the version of each."""
    if qube.role is Role.VPN_PROXY:
        return {wireguard.SERVICE: _vpn_version(site.vpns[qube.name])}
    if qube.role is Role.TOR_GATEWAY:
        return {torrc.SERVICE: digest(_torrc(chain, site, qube))}
    return {}


def start(chain: Chain, site: Site, qube: Qube) -> None:
    """Start the qube's program. NetchainError with what it said when that fails."""
    if qube.role is Role.VPN_PROXY:
        _start_vpn(chain, site, qube)
    else:
        _start_tor(chain, site, qube)


def stop(chain: Chain, site: Site, qube: Qube, service: str) -> None:
    """End a program of the qube; a VPN's tunnel goes with it."""
    site.backend.stop_service(chain, qube.name, service)
    if service == wireguard.SERVICE:
        _remove_tunnel(chain, site, qube)


def _remove_tunnel(chain: Chain, site: Site, qube: Qube) -> None:
    """Its tap goes first, or it would be taken for one that died."""
    site.sensor.disarm(Link(qube.name, None, tunnel=True))
    site.backend.remove_tunnel(chain, qube.name, TUNNEL)


def _vpn_version(vpn: WireGuard) -> str:
    return digest(f"{vpn.setconf().decode()}{vpn.tunnel()}")


def _start_vpn(chain: Chain, site: Site, qube: Qube) -> None:
    """The kernel's WireGuard where it has one, else wireguard-go on a tunnel that outlives it.

    A tunnel that is there already may have another configuration's addresses: it is made anew.
    """
    vpn, backend = site.vpns[qube.name], site.backend
    version = _vpn_version(vpn)
    _remove_tunnel(chain, site, qube)
    in_kernel = backend.add_tunnel(chain, qube.name, vpn.tunnel())
    site.sensor.arm_again(chain, Link(qube.name, None, tunnel=True))
    if in_kernel:
        command = wireguard.configure(vpn.setconf())
        done = backend.execute(chain, qube.name, command.argv, stdin=command.stdin)
        if done.status:  # its words may quote the key
            raise NetchainError(Problem("E072", "wg refused the configuration", str(qube.name)))
        backend.mark_tunnel(chain, qube.name, TUNNEL, version)
        return
    service = wireguard.userspace_service(vpn.setconf(), vpn.tunnel().mtu)
    backend.start_service(chain, qube.name, replace(service, version=version))


def _start_tor(chain: Chain, site: Site, qube: Qube) -> None:
    text = _torrc(chain, site, qube)
    directory = _tor_directory(site)
    script = f"mkdir -p -m 0700 {directory} && cat > {directory}/torrc"
    argv = ("sh", "-c", script)
    done = site.backend.execute(chain, qube.name, argv, stdin=text.encode())
    if done.status:
        words = done.stderr.decode(errors="replace").strip()
        raise NetchainError(Problem("E072", f"cannot write torrc: {words}", str(qube.name)))
    service = replace(torrc.service(directory), version=digest(text))
    site.backend.start_service(chain, qube.name, service)


def _torrc(chain: Chain, site: Site, qube: Qube) -> str:
    address = address4(chain, qube.name)
    return torrc.torrc(address, _tor_directory(site), site.tor_lines)


def _tor_directory(site: Site) -> PurePosixPath:
    """tor's directory in the qube's private volume, as the qube sees it."""
    return site.backend.volume() / "tor"

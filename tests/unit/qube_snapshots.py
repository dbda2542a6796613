"""Snapshots of qubes that are not there: rules listed by nft in a namespace, the rest as wired."""

from __future__ import annotations

from ipaddress import ip_interface

from nft_here import nft

from netchain.model import addressing
from netchain.model.chain import Chain, Qube, QubeState, Role
from netchain.model.snapshot import NetDevice, PolicyRule, Route, Snapshot
from netchain.model.sysctls import sysctls
from netchain.nft.fields import TCP, UDP
from netchain.nft.fill import Facts as RuleFacts
from netchain.nft.fill import rules_for
from netchain.resources import data_dir
from netchain.tor.torrc import DNS_PORT, SOCKS_PORTS, TRANS_PORT
from netchain.verify.claim import Facts
from netchain.vpn.wireguard import FWMARK

TOR_UID = 102
_PORTS = {TCP: frozenset({TRANS_PORT, *SOCKS_PORTS}), UDP: frozenset({DNS_PORT})}


def listed(*texts: str) -> str:
    """What `nft -j list ruleset` prints after these texts."""
    return nft(*texts, "-j list ruleset")


def role_text(chain: Chain, qube: Qube) -> str:
    """The qube's filled rule file."""
    return rules_for(chain, qube, RuleFacts(tor_uid=TOR_UID, vpn_mark=FWMARK))


def blocked_text() -> str:
    return (data_dir() / "firewall_rules" / "blocked.nft").read_text(encoding="utf-8")


def facts(chain: Chain, qube: Qube, state: QubeState = QubeState.READY) -> Facts:
    """All qubes are ready but this one, which is in the state."""
    states = {one.name: QubeState.READY for one in chain.qubes} | {qube.name: state}
    return Facts(chain, qube, states, TOR_UID, FWMARK, _PORTS)


def snapshot(chain: Chain, qube: Qube, rules: str) -> Snapshot:
    """The qube with this listing, wired as in its chain."""
    own = tuple(ip_interface(a) for a in (addressing.address4(chain, qube.name),
                                          addressing.address6(chain, qube.name)))  # fmt: skip
    loopback = tuple(map(ip_interface, ("127.0.0.1/8", "::1/128")))
    devices = [NetDevice("lo", 0, addresses=loopback)]
    routes = []
    if qube.role is Role.NET:
        assert chain.wan is not None
        wan = [ip_interface(chain.wan.address4)]
        wan += [ip_interface(chain.wan.address6)] if chain.wan.address6 else []
        devices.append(NetDevice("eth0", addressing.GROUP_UPLINK, "veth", addresses=tuple(wan)))
    elif qube.netvm is not None:
        devices.append(NetDevice("eth0", addressing.GROUP_UPLINK, "veth", addresses=own))
    for client in chain.clients(qube.name):
        name = addressing.downstream_interface(chain, client.name)
        devices.append(NetDevice(name, addressing.GROUP_DOWNSTREAM, "veth", addresses=own))
        routes += [
            Route(ip_interface(address(chain, sender.name)), name)
            for sender in addressing.senders_behind(chain, client)
            for address in (addressing.address4, addressing.address6)
        ]
    out = "eth0"
    if qube.role is Role.VPN_PROXY:
        assert qube.vpn is not None and qube.vpn.settings is not None
        out, inside = "wg0", tuple(ip_interface(a) for a in qube.vpn.settings.addresses)
        devices.append(NetDevice(out, addressing.GROUP_TUNNEL, "tun", addresses=inside))
    routes += [Route(ip_interface(everywhere), out) for everywhere in ("0.0.0.0/0", "::/0")]
    return Snapshot(
        rules, tuple(devices), tuple(routes),
        tuple(PolicyRule(v, p, t) for v in (4, 6) for p, t in ((0, 255), (32766, 254))),
        {path: str(value) for path, value in sysctls(qube.role).items()},
    )  # fmt: skip

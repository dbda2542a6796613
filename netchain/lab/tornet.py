"""The lab's private Tor network: three authorities, a relay, two exits, each a real tor (pure text
and a cache on disk).

The client stays stock: the authorities vote every 1800 s, as a client without TestingTorNetwork
accepts (at least 300 s), but the schedule is shifted (TestingV3AuthVotingStartOffset, tor(1)) so
that the first vote is seconds away, and a consensus is valid for six days. Kept data directories
make a second start quick. Relays have empty GeoIP files (measured: 49 MB against 14 MB each).

Each relay is in a /16 of its own, as tor's path selection wants (tor(1), EnforceDistinctSubnets).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from calendar import timegm
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from time import strptime
from typing import Any, Literal

from netchain import files

_INTERVAL_S = 1800
_VALID_INTERVALS = 288  # six days
_FIRST_VOTE_S = 12  # from start; the relays need about 8 s to publish themselves
_FETCH_S = 13  # when relays first ask for the consensus
_WARM_VOTE_S = 1740  # with a kept consensus: as late as can be


@dataclass(frozen=True)
class TorNode:
    """One tor of the private network."""

    name: str
    kind: Literal["authority", "relay", "exit"]
    address4: IPv4Address
    address6: IPv6Address
    orport: int = 9001
    dirport: int = 9030


def _node(name: str, kind: Literal["authority", "relay", "exit"], v4: str, v6: str) -> TorNode:
    return TorNode(name, kind, IPv4Address(v4), IPv6Address(v6))


NODES = (
    _node("auth1", "authority", "198.18.11.1", "3fff:11::1"),
    _node("auth2", "authority", "198.19.12.1", "3fff:12::1"),
    _node("auth3", "authority", "240.0.13.1", "3fff:13::1"),
    _node("relay1", "relay", "198.51.100.21", "3fff:21::1"),
    _node("exit1", "exit", "203.0.113.31", "3fff:31::1"),
    _node("exit2", "exit", "192.88.99.32", "3fff:32::1"),
)
_EXITS = sum(node.kind == "exit" for node in NODES)


def data_directory(directory: Path, node: TorNode) -> Path:
    return directory / "nodes" / node.name


def prepare(directory: Path) -> None:
    """Make every relay's keys, once; a half-made cache is thrown away and made again.

    Runs tor and tor-gencert (no network). Raises OSError or CalledProcessError when one fails.
    """
    if (directory / "network.json").exists():
        return
    making = directory.with_name(f"{directory.name}.making")
    for old in (making, directory):
        shutil.rmtree(old, ignore_errors=True)
    making.mkdir(mode=0o700, parents=True)
    (making / "empty").touch()
    running = [p for node in NODES for p in _start_key_making(making, node)]
    statuses = [process.wait(timeout=120) for process in running]
    if any(statuses):
        raise OSError(f"tor could not make the keys of the private Tor network in {making}")
    nodes = {node.name: _identity(making, node) for node in NODES}
    (making / "network.json").write_text(json.dumps({"nodes": nodes}))
    making.rename(directory)


def _start_key_making(directory: Path, node: TorNode) -> list[subprocess.Popen[bytes]]:
    data = data_directory(directory, node)
    keys = data / "keys"
    keys.mkdir(mode=0o700, parents=True)
    data.chmod(0o700)
    torrc_file = directory / f"{node.name}.keys"
    torrc_file.write_text(
        f"DataDirectory {data}\nNickname {node.name}\nORPort {node.orport}\n"
        f"Address {node.address4}\nSocksPort 0\nGeoIPFile {directory}/empty\n"
        f"GeoIPv6File {directory}/empty\n"
    )
    command = ["tor", "--list-fingerprint", "--quiet", "--defaults-torrc", "/dev/null"]
    started = [_quietly([*command, "-f", str(torrc_file)])]
    if node.kind == "authority":
        passphrase = os.memfd_create("passphrase")
        os.write(passphrase, secrets.token_hex(16).encode() + b"\n")
        os.lseek(passphrase, 0, os.SEEK_SET)
        argv = ["tor-gencert", "--create-identity-key", "-m", "12"]
        argv += ["-i", str(keys / "identity"), "-s", str(keys / "authority_signing_key")]
        argv += ["-c", str(keys / "authority_certificate")]
        argv += ["-a", f"{node.address4}:{node.dirport}", "--passphrase-fd", str(passphrase)]
        started.append(_quietly(argv, passphrase))
        os.close(passphrase)
    return started


def _quietly(argv: list[str], *fds: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, pass_fds=fds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _identity(directory: Path, node: TorNode) -> dict[str, str]:
    data = data_directory(directory, node)
    identity = {"fingerprint": (data / "fingerprint").read_text().split()[1]}
    if node.kind == "authority":
        certificate = (data / "keys" / "authority_certificate").read_text()
        found = re.search(r"^fingerprint (\w+)", certificate, re.MULTILINE)
        if found is None:
            raise OSError(f"{node.name}: no fingerprint in the authority's certificate")
        identity["v3ident"] = found[1]
    return identity


def _network(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((directory / "network.json").read_text())
    return loaded


def schedule(directory: Path, now: float) -> bool:
    """Fix when the authorities vote, seconds since 1970; whether the kept consensus is used.

    To be called before the nodes are started. Without a consensus that is still valid, everything
    but the keys is thrown away and the first vote is set a few seconds ahead.
    """
    warm = cache_is_fresh(directory, now)
    if not warm:
        for node in NODES:
            _keep_keys_only(data_directory(directory, node))
    lead = _WARM_VOTE_S if warm else _FIRST_VOTE_S
    network = _network(directory)
    network |= {"offset": (int(now) + lead) % _INTERVAL_S, "fetch": 0 if warm else _FETCH_S}
    files.write_private(directory / "network.json", json.dumps(network).encode())
    return warm


def _keep_keys_only(data: Path) -> None:
    for entry in data.iterdir():
        if entry.name == "keys" or entry.name.startswith("fingerprint"):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def cache_is_fresh(directory: Path, now: float) -> bool:
    """Whether every node has a complete consensus that is valid for an hour more."""
    return all(
        consensus_complete(directory, node) and _valid_until(directory, node) > now + 3600
        for node in NODES
    )


def _consensus(directory: Path, node: TorNode) -> str:
    try:
        path = data_directory(directory, node) / "cached-microdesc-consensus"
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _valid_until(directory: Path, node: TorNode) -> float:
    found = re.search(r"^valid-until (.+)$", _consensus(directory, node), re.MULTILINE)
    return timegm(strptime(found[1], "%Y-%m-%d %H:%M:%S")) if found else 0.0


def consensus_complete(directory: Path, node: TorNode) -> bool:
    """Whether the node holds a consensus that lists all nodes as running, and every exit."""
    flags = re.findall(r"^s (.*)$", _consensus(directory, node), re.MULTILINE)
    running = sum("Running" in line.split() for line in flags)
    exits = sum("Exit" in line.split() for line in flags)
    return running == len(NODES) and exits == _EXITS


def client_torrc_lines(directory: Path) -> tuple[str, ...]:
    """The authorities: all that a stock client needs to use this network and no other."""
    nodes = _network(directory)["nodes"]
    return tuple(
        f"DirAuthority {node.name} orport={node.orport} v3ident={nodes[node.name]['v3ident']}"
        f" {node.address4}:{node.dirport} {nodes[node.name]['fingerprint']}"
        for node in NODES
        if node.kind == "authority"
    )


def torrc(node: TorNode, directory: Path, resolv_conf: Path) -> str:
    """The node's torrc, from what `prepare` and `schedule` fixed."""
    network = _network(directory)
    lines = [
        f"Nickname {node.name}",
        f"DataDirectory {data_directory(directory, node)}",
        f"Log notice file {data_directory(directory, node)}/notices.log",
        "TestingTorNetwork 1",
        *client_torrc_lines(directory),
        f"Address {node.address4}",
        f"Address {node.address6}",
        f"ORPort {node.address4}:{node.orport}",
        f"ORPort [{node.address6}]:{node.orport}",
        "SocksPort 0",
        f"GeoIPFile {directory}/empty",
        f"GeoIPv6File {directory}/empty",
        "AssumeReachable 1",
        "NumCPUs 1",
        "ContactInfo lab",
        "ExtraInfoStatistics 0",
        "DirReqStatistics 0",
        "PathsNeededToBuildCircuits 0.67",
    ]
    if network["fetch"]:
        lines.append(f"TestingServerConsensusDownloadInitialDelay {network['fetch']}")
    lines += _authority_lines(node, network) if node.kind == "authority" else []
    lines += _exit_lines(node, resolv_conf)
    return "".join(f"{line}\n" for line in lines)


def _authority_lines(node: TorNode, network: dict[str, Any]) -> list[str]:
    guards = [network["nodes"][n.name]["fingerprint"] for n in NODES if n.kind != "exit"]
    return [
        "AuthoritativeDirectory 1",
        "V3AuthoritativeDirectory 1",
        f"DirPort {node.address4}:{node.dirport}",
        f"V3AuthVotingInterval {_INTERVAL_S}",
        "V3AuthVoteDelay 2",
        "V3AuthDistDelay 2",
        f"V3AuthNIntervalsValid {_VALID_INTERVALS}",
        f"TestingV3AuthInitialVotingInterval {_INTERVAL_S}",
        "TestingV3AuthInitialVoteDelay 2",
        "TestingV3AuthInitialDistDelay 2",
        f"TestingV3AuthVotingStartOffset {network['offset']}",
        f"TestingDirAuthVoteGuard {','.join(guards)}",
        "TestingDirAuthVoteHSDir *",
        "TestingMinExitFlagThreshold 0",
    ]


def _exit_lines(node: TorNode, resolv_conf: Path) -> list[str]:
    if node.kind != "exit":
        return ["ExitRelay 0", "ExitPolicy reject *:*"]
    return [
        "ExitRelay 1",
        "IPv6Exit 1",
        "ExitPolicy accept *:*",
        "ExitPolicy accept6 *:*",
        "ExitPolicyRejectPrivate 0",
        f"ServerDNSResolvConfFile {resolv_conf}",
        "ServerDNSDetectHijacking 0",
    ]

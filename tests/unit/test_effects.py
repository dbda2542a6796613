"""What `up -v` prints, and with it all wiring, tunnels and programs of the shipped chains.

Golden: a change of an address, a route, a sysctl or a program's words shows here. That the lines do
what they say is for tests/lab/test_effects.py. Not covered: rule texts (golden on their own).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from chains import PROFILES

from netchain.backends.netns import shell
from netchain.backends.netns.backend import NetnsBackend
from netchain.backends.netns.client import KeeperClient
from netchain.backends.netns.wiring import read_label, router_port, wires
from netchain.lab import tornet
from netchain.model.chain import Chain
from netchain.nft.fill import Facts, rules_for
from netchain.tor import torrc
from netchain.vpn import wireguard
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


class Recorder:
    """A keeper that only writes down what it is asked for."""

    def __init__(self, *, full: bool = False) -> None:
        self.lines: list[str] = []
        self._full = full

    def ask(self, do: str, **arguments: Any) -> Mapping[str, Any]:
        self.lines += shell.lines(do, arguments, full=self._full)
        uplinks = {arguments.get("prefix"): {"uplinks": {"eth0": (1, "")}}}
        return {"kernel": False, "nodes": uplinks}


def backend_of(recorder: Recorder) -> NetnsBackend:
    return NetnsBackend(cast(KeeperClient, recorder), "lab:isp")


@pytest.mark.parametrize("name", PROFILES)
def test_links_as_shell_lines(
    shipped: Callable[[str], Chain], golden: Callable[[str, str], None], name: str
) -> None:
    recorder, chain = Recorder(), shipped(name)
    backend = backend_of(recorder)
    for qube in chain.from_uplink():
        backend.attach(chain, qube.name)
    golden(f"wiring/{name}.sh", "".join(f"{line}\n" for line in recorder.lines))


def test_what_is_not_a_link(
    shipped: Callable[[str], Chain],
    golden: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NETCHAIN_STATE_DIR", str(tmp_path))
    recorder, chain = Recorder(), shipped("vpn-before-tor")
    backend = backend_of(recorder)
    proxy, settings = chain["sys-proxyvm"], chain["sys-proxyvm"].vpn
    assert settings is not None and settings.settings is not None
    vpn = WireGuard(settings.settings, Secret(KEY), KEY)
    for qube in ("sys-proxyvm", "sys-whonix"):
        backend.create(chain, chain[qube].name)
    backend.load_rules(chain, proxy.name, rules_for(chain, proxy, Facts(tor_uid=101)))
    backend.unblock(chain, proxy.name)
    backend.add_tunnel(chain, proxy.name, vpn.tunnel())
    recorder.ask(
        "start", node="vpn-before-tor:sys-proxyvm",
        service={"argv": ["wireguard-go", "-f", "wg0"],
                 "setup": [{"argv": ["wg", "setconf", "wg0", "/dev/stdin"],
                            "stdin": vpn.setconf().hex()}]},
    )  # fmt: skip
    backend.stop_service(chain, proxy.name, wireguard.SERVICE)
    backend.remove_tunnel(chain, proxy.name, "wg0")
    backend.block(chain, proxy.name)
    backend.detach(chain, proxy.name)
    backend.remove(chain, proxy.name)
    text = "".join(f"{line}\n" for line in recorder.lines)
    golden("wiring/effects.sh", text)
    assert KEY not in text


def test_rules_are_shown_in_full_when_asked_for(shipped: Callable[[str], Chain]) -> None:
    recorder, chain = Recorder(full=True), shipped("vpn-before-tor")
    text = rules_for(chain, chain["sys-net"], Facts(tor_uid=101))
    backend_of(recorder).load_rules(chain, chain["sys-net"].name, text)
    assert text in "\n".join(recorder.lines)


def test_what_only_reads_has_no_effect() -> None:
    recorder = Recorder()
    recorder.ask("observe", prefix="")
    recorder.ask("rules", node="c:q", text="list ruleset")
    recorder.ask("hello")
    assert recorder.lines == []


def test_labels_say_what_they_were_made_from(shipped: Callable[[str], Chain]) -> None:
    chain = shipped("vpn-before-tor")
    uplink, client = wires(chain, chain["sys-net"]), wires(chain, chain["sys-whonix"])
    assert read_label(uplink.label()["alias"]) == ("uplink", uplink.version)
    assert router_port(uplink.label()["alias"]) == "isp0"
    assert read_label(client.label()["alias"]) == ("sys-proxyvm", client.version)
    assert router_port(client.label()["alias"]) == ""
    assert read_label("") == (None, "")
    assert read_label("sys-proxyvm") == (None, "")


def test_torrc_of_a_gateway(golden: Callable[[str, str], None]) -> None:
    address, data = IPv4Address("10.137.0.13"), PurePosixPath("/rw/tor")
    golden("torrc/gateway.torrc", torrc.torrc(address, data, ["DirAuthority one", "Two 2"]))


@pytest.mark.parametrize("name", ["auth1", "relay1", "exit1"])
def test_torrc_of_the_labs_nodes(
    golden: Callable[[str, str], None], tmp_path: Path, name: str
) -> None:
    """Of a first start: the schedule and the fingerprints are the test's own."""
    identity = {"fingerprint": "F" * 40, "v3ident": "A" * 40}
    nodes = {node.name: identity for node in tornet.NODES}
    network = {"nodes": nodes, "offset": 42, "fetch": 13}
    (tmp_path / "network.json").write_text(json.dumps(network))
    node = next(n for n in tornet.NODES if n.name == name)
    text = tornet.torrc(node, tmp_path, tmp_path / "resolv.conf")
    golden(f"torrc/{name}.torrc", text.replace(str(tmp_path), "/lab"))

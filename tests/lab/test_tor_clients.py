"""What programs of the workstation get of tor: streams apart, no control, no names in the clear.

Not covered: Tor Browser's own isolation by SOCKS names (the same flags keep them apart), and which
relays the circuits go through (the lab has six).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import socks_client
from commands import CHAIN, Netchain
from test_leaktest_probes import attached

from netchain.backends.base import User
from netchain.lab import internet
from netchain.model.addressing import address4
from netchain.model.allowed import Link, tunnels
from netchain.model.chain import Chain, Role
from netchain.site import Site
from netchain.tor import torrc
from netchain.wire.build import UDP
from netchain.wire.decode import decode

pytestmark = [
    pytest.mark.lab,
    pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning"),  # stem's
]
WORKSTATION, GATEWAY, VPN = "anon-whonix", "sys-whonix", "sys-proxyvm"
SITE, DNS = (internet.host(name).address4 for name in (internet.SITE, internet.DNS))
SITE6 = internet.host(internet.SITE).address6
PYTHON = str(Path(sys.executable).resolve())
CONTROL_WORDS = b"PROTOCOLINFO 1\r\nAUTHENTICATE\r\nGETINFO version\r\nQUIT\r\n"
Running = tuple[Chain, Site]


@dataclass(frozen=True)
class Way:
    """How a program asks for a connection: to where, and by which port of the gateway."""

    kind: str
    host: str = str(SITE)
    port: int = 80
    proxy: int = 9100
    user: str = ""
    gateway: str = ""


@pytest.fixture(scope="module")
def running(up: Netchain) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch, attached(up, CHAIN, patch) as found:
        yield found


def in_workstation(running: Running, source: str, *words: str, stdin: str = "") -> str:
    chain, site = running
    argv = [PYTHON, "-I", "-c", source, *words]
    done = site.backend.execute(
        chain, chain[WORKSTATION].name, argv, stdin=stdin.encode(), timeout=120, user=User.PERSON
    )
    assert done.status == 0, done.stderr
    return done.stdout.decode()


def ask(running: Running, *ways: Way) -> list[str]:
    """The port that each connection came from."""
    gateway = str(address4(running[0], GATEWAY))
    wanted = [{**asdict(way), "gateway": gateway} for way in ways]
    source = Path(socks_client.__file__).read_text()
    said = in_workstation(running, source, stdin=json.dumps(wanted)).splitlines()
    assert len(said) == len(ways)
    assert all(line.startswith("10.137.") for line in said), said
    return [line.split()[1] for line in said]


def circuits(running: Running, *ways: Way) -> list[str]:
    """The circuit that each way's stream was attached to first, by tor's own word."""
    chain, site = running
    path = torrc.control_socket(site.backend.volume() / "tor")
    with site.backend.connect(chain, chain[GATEWAY].name, path) as control:
        control.settimeout(30)
        control.sendall(b"AUTHENTICATE\r\nSETEVENTS STREAM\r\n")
        ports, said = ask(running, *ways), ""
        while any(port not in (found := _first_circuits(said)) for port in ports):
            said += control.recv(1 << 16).decode()
    return [found[port] for port in ports]


def _first_circuits(said: str) -> dict[str, str]:
    """The circuit of each port of the workstation's, in tor's events (control-spec, 4.1.2)."""
    first: dict[str, str] = {}
    for stream, circuit in re.findall(r"STREAM (\d+) SENTCONNECT (\d+)", said):
        first.setdefault(stream, circuit)
    streams = re.findall(r"STREAM (\d+) NEW \d+ \S+ SOURCE_ADDR=\S+:(\d+) ", said)
    return {port: first[stream] for stream, port in streams if stream in first}


@pytest.mark.parametrize("kind", ["direct", "socks5"])
def test_streams_to_other_addresses_and_ports_use_other_circuits(
    running: Running, kind: str
) -> None:
    """The control: the same destination twice shares a circuit."""
    for _ in range(3):  # tor may take another circuit at any time, but does not always
        same, again, elsewhere = circuits(
            running, Way(kind), Way(kind), Way(kind, str(DNS), 53)
        )  # fmt: skip
        assert elsewhere not in (same, again)
        if same == again:
            return
    raise AssertionError("the same destination never shared a circuit")


def test_streams_to_another_port_of_the_same_address_use_another_circuit(
    running: Running,
) -> None:
    """Nobody listens on the other one: what tor does first counts."""
    there, refused = circuits(running, Way("direct"), Way("direct", port=81))
    assert there != refused


@pytest.mark.parametrize(("one", "two"), [(9100, 9101), (9108, 9109), (9050, 9150), (9050, 9100)])
def test_streams_of_other_socks_ports_use_other_circuits(
    running: Running, one: int, two: int
) -> None:
    first, second = circuits(running, Way("socks5", proxy=one), Way("socks5", proxy=two))
    assert first != second


def test_streams_of_other_socks_names_use_other_circuits(running: Running) -> None:
    """As Tor Browser asks for, a name for each site."""
    ways = [Way("socks5", proxy=9150, user=user) for user in ("a.example", "b.test")]
    one, other = circuits(running, *ways)
    assert other != one


def test_no_way_of_asking_for_a_connection_asks_for_a_name_on_the_wire(running: Running) -> None:
    """SOCKS with an address or a name: no question leaves the workstation, nor its gateway."""
    chain, site = running
    inside = tunnels(chain)[0].name
    tcp_only = [Link(chain[WORKSTATION].name, chain[GATEWAY].name).name,
                Link(chain[GATEWAY].name, chain[VPN].name).name, inside]  # fmt: skip
    mark = site.sensor.tap.mark()
    named = [Way(kind, internet.SITE_NAME) for kind in ("socks4a", "socks5-name")]
    ask(running, Way("socks4"), Way("socks5"), Way("socks5", str(SITE6)), Way("direct"), *named)
    assert site.sensor.settle() == []
    for name in tcp_only:
        flows = [decode(seen.frame, seen.link_type) for seen in site.sensor.tap.frames(name, mark)]
        assert [flow for flow in flows if flow.protocol == UDP] == []
        assert len(flows) > 10
    # The control: a question is seen where it may be, from the workstation to tor.
    mark = site.sensor.tap.mark()
    in_workstation(running, f"import socket; socket.gethostbyname({internet.SITE_NAME!r})")
    assert site.sensor.settle() == []
    asked = {
        name for name in tcp_only for seen in site.sensor.tap.frames(name, mark)
        if decode(seen.frame, seen.link_type).protocol == UDP
    }  # fmt: skip
    assert asked == {tcp_only[0]}


TALK = """
import select, socket, sys, time
words, socks = sys.stdin.buffer.read(), {}
for port in sys.argv[2:]:
    try:
        sock = socket.create_connection((sys.argv[1], int(port)), 2)
        sock.sendall(words)
        socks[sock] = port
    except OSError as error:
        print(port, repr(error))
deadline = time.monotonic() + 3
while time.monotonic() < deadline and socks:
    for sock in select.select(list(socks), [], [], 0.1)[0]:
        try:
            print(socks.pop(sock), sock.recv(4096))
        except OSError as error:
            print(repr(error))
print("silent", *socks.values())
"""


def test_no_port_of_the_gateway_takes_control_words(running: Running) -> None:
    """Not those of a control port (9051, 9151), which lead into tor's TransPort, nor its own."""
    chain, site = running
    ports = [9051, 9151, torrc.TRANS_PORT, *torrc.SOCKS_PORTS]
    words = [str(address4(chain, GATEWAY)), *map(str, ports)]
    said = in_workstation(running, TALK, *words, stdin=CONTROL_WORDS.decode()).splitlines()
    assert "HTTP" in " ".join(said)  # what a SocksPort says to words that are not its own
    assert not [line for line in said if "250" in line or "version" in line.lower()], said
    # The control: where tor does take them, these are the words.
    path = torrc.control_socket(site.backend.volume() / "tor")
    with site.backend.connect(chain, chain[GATEWAY].name, path) as control:
        control.settimeout(10)
        control.sendall(CONTROL_WORDS)
        answer = b""
        while part := control.recv(4096):
            answer += part
    assert b"250-version=" in answer


def test_tor_listens_for_control_on_no_port(running: Running) -> None:
    chain, site = running
    done = site.backend.execute(chain, chain[GATEWAY].name, ["ss", "-Hlnt"], timeout=10)
    ports = {int(line.split()[3].rpartition(":")[2]) for line in done.stdout.decode().splitlines()}
    assert ports == {torrc.TRANS_PORT, *torrc.SOCKS_PORTS}


def test_the_control_socket_is_in_no_other_qube(running: Running) -> None:
    """Looked for by each qube's root, in its own volume and by its address."""
    chain, site = running
    path = torrc.control_socket(site.backend.volume() / "tor")
    found = {}
    for qube in chain.qubes:
        done = site.backend.execute(chain, qube.name, ["test", "-S", str(path)], timeout=10)
        found[qube.role] = done.status == 0
    assert [role for role, there in found.items() if there] == [Role.TOR_GATEWAY]


def test_no_datagram_ends_tor(up: Netchain) -> None:
    """Shorter ones than a DNS header end tor 0.4.9.11 (SIGSEGV): no rule lets one in. Only that a
    longer one is odd, too, is not looked at."""

    def tor() -> dict[str, int]:
        qubes = json.loads(up("status", "--json").stdout)["qubes"]
        (gateway,) = (qube for qube in qubes if qube["name"] == GATEWAY)
        (program,) = (one for one in gateway["programs"] if one["name"] == "tor")
        return {"pid": program["pid"], "starts": program["starts"]}

    before = tor()
    script = """
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in range(40):
    for _ in range(3):
        sender.sendto(bytes(size), (open("/etc/resolv.conf").read().split()[1], 53))
"""
    done = up("exec", CHAIN, "--", PYTHON, "-c", script)
    assert done.returncode == 0, done.stderr
    assert "news" in up.page()  # a name is found: whatever came before has been looked at
    assert tor() == before

"""What every qube of a chain sends all the while: past its own rules, and through its own stack.

Past the rules: the leak tests' flood, from the client's end of each link but the uplink (sys-net is
free to send there). Through the stack: ordinary sockets that were opened inside each qube by its
root and handed out, hence go on when everything of the site is dead; UDP and TCP, and raw ones with
headers of their own for ping and false sources. IPv4 and IPv6 each.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from threading import Event, Lock, Thread

from leaktests.engine import flood
from leaktests.engine.probe import EVERYWHERE, Probe
from leaktests.engine.shot import Markers, Shot, shots
from netchain.backends.base import User
from netchain.backends.netns.client import KeeperClient
from netchain.errors import NetchainError
from netchain.model.addressing import address4, address6
from netchain.model.chain import Address, Chain, Role
from netchain.wire import build
from netchain.wire.decode import decode

GATEWAYS = frozenset({Role.WORKSTATION, Role.TOR_GATEWAY, Role.VPN_PROXY, Role.FIREWALL})
NOWHERE = (ip_address("192.0.2.1"), ip_address("2001:db8:dead::1"))
FORGED = {4: ip_address("203.0.113.78"), 6: ip_address("2001:db8:beef::78")}
_PAUSE_S, _SPAWN_S = 0.02, 10.0
_CONNECT_EACH = 10
"""Rounds of the raw sockets to one connection: what a workstation connects to, tor connects to."""
_OPEN = """
import socket
kinds = ((2, 2, 0), (10, 2, 0), (2, 1, 0), (10, 1, 0), (2, 3, 255), (10, 3, 255))
found = [socket.socket(*kind) for kind in kinds]
socket.send_fds(socket.socket(fileno=0), [b"x"], [sock.fileno() for sock in found])
"""


def frames(chain: Chain, markers: Markers) -> list[Shot]:
    """What may never leave its own link, from every qube that has one."""
    probe = Probe("V21", "a crash", flood._forbidden, classes=EVERYWHERE, roles=GATEWAYS)
    sent = flood.forbidden(chain, shots(chain, [probe], markers))
    return [shot for shot in sent if not _to_endpoint(chain, shot)]


def _to_endpoint(chain: Chain, shot: Shot) -> bool:
    """Whether the next hop must take it for the VPN's own: it cannot look inside."""
    vpn = chain[shot.place.link.client].vpn
    if vpn is None or vpn.settings is None:
        return False
    flow, end = decode(shot.frame), vpn.settings.endpoint
    return (flow.destination, flow.dport) == (end.address.packed, end.port)


class Stack:
    """Sockets in one qube's namespace, and what is sent through them."""

    def __init__(self, keeper: KeeperClient, chain: Chain, name: str) -> None:
        """Opens them. OSError or NetchainError when nobody there can."""
        ours, theirs = socket.socketpair()
        null = os.open(os.devnull, os.O_RDWR)
        argv = ("/usr/bin/python3", "-I", "-c", _OPEN)
        streams = (theirs.fileno(), null, null)
        with ours, theirs, keeper.spawn(f"{chain.name}:{name}", argv, streams, user=User.ROOT):
            os.close(null)
            ours.settimeout(_SPAWN_S)
            _, fds, _, _ = socket.recv_fds(ours, 1, 6)
        if len(fds) != 6:
            raise OSError(f"{name} opened {len(fds)} sockets, not 6")
        self.name, self.tried = name, 0
        self._sockets = [socket.socket(fileno=fd) for fd in fds]
        for sock in self._sockets:
            sock.setblocking(False)
        self._packets = list(_packets(chain, name))

    def send(self) -> None:
        """Everything once. What the qube's own rules or routes refuse counts as tried."""
        udp4, udp6, _, _, raw4, raw6 = self._sockets
        for to, packet in self._packets:
            with suppress(OSError):
                (raw4 if to.version == 4 else raw6).sendto(packet, (str(to), 0))
            self.tried += 1
        for sock, to in zip((udp4, udp6), NOWHERE, strict=True):
            with suppress(OSError):
                sock.sendto(b"a crash", (str(to), 53))
            self.tried += 1

    def connect(self) -> None:
        """Begin a TCP connection in each family, the last one is given up."""
        for sock, to in zip(self._sockets[2:4], NOWHERE, strict=True):
            with suppress(OSError):
                _disconnect(sock)
            with suppress(OSError):
                sock.connect((str(to), 443))
            self.tried += 1

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _disconnect(sock: socket.socket) -> None:
    """connect(2) to AF_UNSPEC, which Python's own connect does not know."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(sock.fileno(), bytes(28), 28)


def _packets(chain: Chain, name: str) -> Iterator[tuple[Address, bytes]]:
    """What no rule may let out; what a workstation may say to its Tor gateway is left out: names
    that are none end tor 0.4.9 (SIGSEGV in libevent's evdns), and then nothing converges."""
    vpns = [qube.vpn for qube in chain.qubes if qube.vpn is not None and qube.vpn.settings]
    ends = [vpn.settings.endpoint.address for vpn in vpns if vpn.settings is not None]
    others = [find(chain, qube.name) for qube in chain.qubes for find in (address4, address6)
              if qube.name != name]  # fmt: skip
    own = {4: address4(chain, name), 6: address6(chain, name)}
    for to in (*NOWHERE, *ends, *others):
        for source in (own[to.version], FORGED[to.version]):
            yield to, build.ping(source, to, b"a crash.")
            yield to, build.udp(source, to, 45000, 51820, b"a crash.")
            if chain[name].role is not Role.WORKSTATION:
                yield to, build.udp(source, to, 45000, 53, b"a crash.")
                yield to, build.tcp_syn(source, to, 45000, 443)


class Stacks:
    """Sends through the stacks of all qubes, old ones of removed qubes too; a context manager."""

    def __init__(self, keeper: KeeperClient, chain: Chain) -> None:
        self._keeper, self._chain = keeper, chain
        self._stacks: list[Stack] = []
        self._lock, self._ending = Lock(), Event()
        self._thread = Thread(target=self._run, name="stacks", daemon=True)
        self.missing: list[str] = []
        self._thread.start()

    def add(self, name: str) -> None:
        """Send from a qube that was just made."""
        try:
            stack = Stack(self._keeper, self._chain, name)
        except (OSError, NetchainError) as error:
            self.missing.append(f"{name}: {error}")
            return
        with self._lock:
            self._stacks.append(stack)

    def tried(self) -> dict[str, int]:
        """What was tried from each qube by now."""
        with self._lock:
            return {stack.name: stack.tried for stack in self._stacks}

    def forget_old(self) -> None:
        """Let go of the namespaces of removed qubes that a new one has taken the place of."""
        with self._lock:
            current = {stack.name: stack for stack in self._stacks}
            for stack in self._stacks:
                if stack is not current[stack.name]:
                    stack.close()
            self._stacks = list(current.values())

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        for stack in self._stacks:
            stack.close()

    def _run(self) -> None:
        count = 0
        while not self._ending.wait(_PAUSE_S):
            with self._lock:
                stacks = list(self._stacks)
                for stack in stacks:
                    stack.send()
                    if count % _CONNECT_EACH == 0:
                        stack.connect()
            count += 1


def await_tried(stacks: Stacks, seconds: float) -> bool:
    """Whether each qube has sent twice more than now, within that time."""
    before, deadline = stacks.tried(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(tried > before.get(name, 0) + 40 for name, tried in stacks.tried().items()):
            return True
        time.sleep(0.01)  # a bounded poll
    return False

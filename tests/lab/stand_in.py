"""A computer that stands in for this one, with a small internet behind it; all in namespaces.

`host` is its network namespace (eth0, a default route, IPv6), `world` what is beyond: a router, and
a WireGuard server with a web site in its inner network. netchain runs in `host` as it would on a
real computer. This computer's own network is not touched.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from commands import ROOT, until

from netchain.lab import site as web_site

HOST4, ROUTER4 = "192.0.2.2", "192.0.2.1"
HOST6, ROUTER6 = "2001:db8:1::2", "2001:db8:1::1"
SECOND4 = "192.0.2.3"
SERVER4, SERVER6, PORT = "198.18.7.1", "2001:db8:7::1", 51820
INNER4, CUSTOMER4 = "10.64.0.1", "10.64.0.2"
_QUIET = """
for key in router_solicitations=0 dad_transmits=0; do
    sysctl -qw net.ipv6.conf.default.$key
done
ip link set lo up
"""
_WORLD = f"""
ip link add eth0 type veth peer name eth0 netns {{host}}
ip address add {ROUTER4}/24 dev eth0; ip -6 address add {ROUTER6}/64 dev eth0 nodad
ip address add {SERVER4}/32 dev lo; ip -6 address add {SERVER6}/128 dev lo nodad
ip link set eth0 up
"""
_HOST = f"""
ip address add {HOST4}/24 dev eth0; ip address add {SECOND4}/24 dev eth0
ip -6 address add {HOST6}/64 dev eth0 nodad
ip link set eth0 up
ip route add default via {ROUTER4}; ip -6 route add default via {ROUTER6}
"""
_OPEN = """
import socket, sys
family, kind, address, port, out = sys.argv[1:]
s = socket.socket(getattr(socket, family), getattr(socket, kind))
if family == "AF_PACKET":
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((address, 0))
else:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == "AF_INET6":
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, int(port)))
    if kind == "SOCK_STREAM":
        s.listen()
socket.send_fds(socket.socket(fileno=int(out)), [b"x"], [s.fileno()])
"""


class StandIn:
    """The stand-in computer and its internet; a context manager.

    `as_user` is the words before a program that make its caller an ordinary user there.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._programs: list[subprocess.Popen[str]] = []
        self._sockets: list[socket.socket] = []
        # wireguard-go's control sockets are in /run, by the interface's name alone.
        hold = ("sh", "-ec", "mount -t tmpfs tmpfs /run; echo ready; exec sleep infinity")
        self.host = self._hold("unshare", "--user", "--map-root-user", "--net", "--mount", *hold)
        self.world = self._hold(*self._enter(self.host), "unshare", "--net", *hold)

    def _hold(self, *words: str) -> int:
        """PID of a process that holds namespaces."""
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._programs.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process.pid

    def _enter(self, pid: int) -> list[str]:
        return [
            "nsenter",
            f"--target={pid}",
            "--user",
            "--net",
            "--mount",
            "--preserve-credentials",
        ]

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self) -> None:
        for pid in (self.host, self.world):
            self.run(pid, "sh", "-ec", _QUIET)
        self.run(self.world, "sh", "-ec", _WORLD.format(host=self.host))
        self.run(self.host, "sh", "-ec", _HOST)
        local = ("ip", "-6", "route", "show", "table", "local", "dev", "eth0")
        signs = ("multicast", "local fe80")
        assert until(lambda: all(s in self.run(self.host, *local) for s in signs), 10)
        self._serve()

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()
        for process in reversed(self._programs):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def run(self, pid: int, *words: str, stdin: str = "") -> str:
        """What a program prints in a namespace of ours; it must succeed."""
        done = subprocess.run(
            [*self._enter(pid), *words], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, pid: int, *words: str) -> None:
        self._programs.append(subprocess.Popen([*self._enter(pid), *words], text=True))

    def _serve(self) -> None:
        """The VPN server, the web site behind it, and the customer's configuration."""
        keys = {}
        for who in ("server", "customer"):
            private = subprocess.check_output(["wg", "genkey"], text=True).strip()
            public = subprocess.check_output(["wg", "pubkey"], input=private, text=True).strip()
            keys[who] = private, public
        configuration = (
            f"[Interface]\nPrivateKey = {keys['server'][0]}\nListenPort = {PORT}\n"
            f"[Peer]\nPublicKey = {keys['customer'][1]}\nAllowedIPs = {CUSTOMER4}/32\n"
        )
        environment = ("env", "LOG_LEVEL=error", "WG_PROCESS_FOREGROUND=1")
        self.start(self.world, *environment, "wireguard-go", "-f", "wg0")
        script = (
            "until wg setconf wg0 /dev/stdin <<EOF\n" + configuration + "EOF\ndo sleep .05; done"
        )
        self.run(self.world, "timeout", "20", "sh", "-c", f"{script} 2>/dev/null")
        self.run(self.world, "sh", "-ec", f"ip address add {INNER4}/24 dev wg0; ip link set wg0 up")
        self.start(self.world, sys.executable, "-I", str(web_site.__file__))
        self._configure(keys["customer"][0], keys["server"][1])

    def _configure(self, private: str, public: str) -> None:
        secrets = self.state / "secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "key").touch(mode=0o600)
        (secrets / "key").write_text(private + "\n")
        for name, endpoint in (("v4", f"{SERVER4}:{PORT}"), ("v6", f"[{SERVER6}]:{PORT}")):
            (secrets / f"{name}.toml").write_text(
                f'type = "wireguard"\nprivate_key_file = "key"\npublic_key = "{public}"\n'
                f'endpoint = "{endpoint}"\naddresses = ["{CUSTOMER4}"]\n'
            )

    def profile(self, uplink: str, version: str = "v4", more: str = "") -> Path:
        """The shipped profile vpn-only on that uplink, with the VPN server here."""
        text = (ROOT / "profiles" / "vpn-only.toml").read_text()
        text = text.replace('uplink  = "lab"', f'uplink = "{uplink}"\n{more}')
        text = text.replace('"lab:provider-a"', f'"secrets/{version}.toml"')
        path = self.state / f"{uplink.replace(':', '-')}-{version}.toml"
        path.write_text(text)
        return path

    def netchain(
        self, *words: str, user: Sequence[str] = (), timeout: float = 150, path: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The program in the stand-in computer."""
        environment = {
            **os.environ, "NETCHAIN_STATE_DIR": str(self.state / "s"), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        environment |= {"PATH": path} if path else {}
        return subprocess.run(
            [*self._enter(self.host), *user, sys.executable, "-m", "netchain", *words],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    def socket(
        self, pid: int, family: str, kind: str, address: str, port: int = 0
    ) -> socket.socket:
        """A bound (and listening) socket in a namespace of ours; AF_PACKET on an interface."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            words = [family, kind, address, str(port), str(theirs.fileno())]
            subprocess.run(
                [*self._enter(pid), sys.executable, "-I", "-c", _OPEN, *words],
                pass_fds=[theirs.fileno()], check=True,
            )  # fmt: skip
            _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        self._sockets.append(sock)
        return sock

    @contextlib.contextmanager
    def up(self, profile: Path, user: Sequence[str] = ()) -> Iterator[None]:
        """The chain of the profile, up; down again afterwards, whatever happens."""
        try:
            done = self.netchain("up", str(profile), user=user)
            assert done.returncode == 0, done.stderr
            yield
        finally:
            done = self.netchain("down", str(profile), user=user)
        assert done.returncode == 0, done.stderr


def ordinary_user() -> list[str]:
    """Words before a program that make its caller an ordinary user of the stand-in computer, who
    has no right in its network."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def holders(state: Path, node: str) -> list[int]:
    """PIDs of the process that holds a node (CHAIN:QUBE or :uplink) of a site of that state
    directory."""
    parents = set(pids(f"netchain-keeper .*@{state}/s/run "))
    found = []
    for parent in parents:
        words = ["pgrep", "-P", str(parent), "-fx", rf"\[netchain\] {node} infinity"]
        found += subprocess.run(words, capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def pids(pattern: str) -> list[int]:
    """PIDs of the processes with such a command line."""
    done = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]

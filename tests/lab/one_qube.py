"""One qube under its real rules, alone in a namespace, with a packet socket on each of its links.

The far ends of its links are bare veth ends in a second namespace, where the test plays every
neighbour by hand. Kernel settings are as weak as they get (forwarding on, no reverse path check,
source routes accepted), so that what holds here is held by the rules alone.

No waiting for silence: a marker frame follows a probe in through the same link, and when the qube
has it, everything before it was dealt with; then a marker leaves by each link, and what is
captured before that is all that came out. (One sending CPU: veth keeps the order on it.)

The namespaces belong to a helper process, `python one_qube.py`, which runs commands and opens
sockets inside them; a socket stays in its namespace for life, so it can be handed over.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from netchain.backends.netns import syscalls

QUBE_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
_ALL, _MARKER = 0x0003, 0x88B5  # ETH_P_ALL; IEEE 802 local experimental ethertype 1
_SOL_PACKET, _QDISC_BYPASS, _IPV6_FREEBIND = 263, 20, 78  # linux/if_packet.h, linux/in6.h
_SO_MARK, _HELD_BYTES, _TIMEOUT_S = 36, 64 << 20, 20.0
_WEAK = {
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/accept_source_route": 1,
    "ipv4/conf/default/accept_source_route": 1,
    "ipv4/icmp_ratelimit": 0,
    "ipv6/icmp/ratelimit": 0,
    "ipv6/conf/all/forwarding": 1,
    "ipv6/conf/default/accept_source_route": 1,
    "ipv6/conf/default/dad_transmits": 0,
    "ipv6/conf/default/addr_gen_mode": 1,
}


class OneQube:
    """The helper, and our sockets on the links; a context manager."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_TIMEOUT_S)
        unshare = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork"]
        helper = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                [*unshare, "--kill-child", *helper],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._affinity = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(self._affinity)})
        self._near: dict[str, socket.socket] = {}
        self._far: dict[str, socket.socket] = {}
        self._handed: list[socket.socket] = []
        self._markers = 0
        for path, value in _WEAK.items():
            self.run("sh", "-c", f"echo {value} > /proc/sys/net/{path}")
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self._affinity)
        for sock in (*self._handed, self._control):
            sock.close()
        self._process.wait(_TIMEOUT_S)

    def _ask(self, **message: Any) -> tuple[dict[str, Any], list[int]]:
        self._control.send(json.dumps(message).encode())
        _, fds, _, _ = socket.recv_fds(self._control, 1, 1)
        answer = json.loads(self._control.recv(1 << 20))
        if "error" in answer:
            raise OSError(answer["error"])
        return answer, fds

    def run(self, *argv: str, stdin: str = "", where: str = "qube") -> str:
        """Run a program in a namespace ("qube" or "far"); its output. OSError when it fails."""
        answer, _ = self._ask(do="run", argv=argv, stdin=stdin, where=where)
        return str(answer["output"])

    def start(self, script: str) -> None:
        """Start a shell script in the qube, beside what the test does."""
        self._ask(do="start", argv=["sh", "-ec", script])

    def ended(self) -> bool:
        """Whether the script has ended. OSError when it failed."""
        return bool(self._ask(do="ended")[0]["ended"])

    def ip(self, *lines: str) -> None:
        """Lines for `ip -batch` in the qube."""
        self.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def nft(self, text: str) -> None:
        """One transaction in the qube."""
        self.run("nft", "-f", "-", stdin=text)

    def link(self, name: str, group: int, *, arp: bool = True, mtu: int = 1500) -> None:
        """An interface of the qube, and our packet sockets at its far and its near end."""
        far = f"far-{name}"
        self.ip(
            f"link add {name} address {QUBE_MAC} group {group} type veth "
            f"peer name {far} address {FAR_MAC} netns 1",
            f"link set {name} mtu {mtu} arp {'on' if arp else 'off'}",
        )
        disable = f"echo 1 > /proc/sys/net/ipv6/conf/{far}/disable_ipv6"
        self.run("sh", "-c", disable, where="far")
        self.run("ip", "link", "set", far, "arp", "off", "up", where="far")
        self.ip(f"link set {name} up")
        self._far[name] = self.socket("packet", where="far", iface=far, protocol=_ALL)
        self._near[name] = self.socket("packet", iface=name, protocol=_MARKER)

    def cut(self, name: str) -> None:
        """Take a link down; nothing can be captured there any more."""
        self.ip(f"link set {name} down")
        del self._near[name], self._far[name]

    def socket(self, kind: str, where: str = "qube", **options: Any) -> socket.socket:
        """A socket in a namespace: packet, tcp, udp, tcp6, udp6, or raw (own IPv4 header).

        Options: iface and protocol (packet), bind (address, port), mark, listen, freebind,
        options (IP_OPTIONS in hex).
        """
        _, fds = self._ask(do="socket", kind=kind, where=where, **options)
        sock = socket.socket(fileno=fds[0])
        sock.settimeout(_TIMEOUT_S)
        self._handed.append(sock)  # closed with the qube
        return sock

    def send(self, frame: bytes, link: str) -> None:
        """Put a frame on a link from its far end: the qube receives it."""
        self._far[link].send(frame)

    def seen(self) -> dict[str, list[bytes]]:
        """What the qube has sent on each link since the last call; silent links are left out."""
        for name, far in self._far.items():
            self._mark(far, self._near[name])
        captured = {name: self._mark(self._near[name], far) for name, far in self._far.items()}
        return {name: frames for name, frames in captured.items() if frames}

    def probe(self, frame: bytes, link: str) -> dict[str, list[bytes]]:
        """Send one frame in; what came out of every link because of it."""
        self.send(frame, link)
        return self.seen()

    def _mark(self, sender: socket.socket, receiver: socket.socket) -> list[bytes]:
        """Send a marker; what the receiver got before it."""
        self._markers += 1
        header = bytes.fromhex((QUBE_MAC + FAR_MAC).replace(":", "")) + _MARKER.to_bytes(2)
        marker = header + self._markers.to_bytes(46)
        sender.send(marker)
        frames: list[bytes] = []
        while (frame := receiver.recv(65536)) != marker:
            if frame[12:14] != header[12:14]:
                frames.append(frame)
        return frames


class _Helper:
    """In the namespaces: `far`, where it stays, and `qube`, which it makes."""

    def __init__(self) -> None:
        far = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self._namespaces = {"far": far, "qube": os.open("/proc/thread-self/ns/net", os.O_RDONLY)}
        self._enter("far")
        self._script: subprocess.Popen[bytes] | None = None

    def _enter(self, where: str) -> None:
        syscalls.setns(self._namespaces[where], syscalls.CLONE_NEWNET)

    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        try:
            return getattr(self, f"_{message.pop('do')}")(**message)  # type: ignore[no-any-return]
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", b"") or b""
            return {"error": f"{message}: {error} {detail!r}"[:2000]}, []

    def _run(self, argv: list[str], stdin: str, where: str) -> tuple[dict[str, Any], list[int]]:
        done = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, check=True,
            preexec_fn=lambda: self._enter(where),
        )  # fmt: skip
        return {"output": done.stdout.decode()}, []

    def _start(self, argv: list[str]) -> tuple[dict[str, Any], list[int]]:
        self._script = subprocess.Popen(argv, preexec_fn=lambda: self._enter("qube"))
        return {}, []

    def _ended(self) -> tuple[dict[str, Any], list[int]]:
        assert self._script is not None
        status = self._script.poll()
        if status:
            raise OSError(f"the script failed: {status}")
        return {"ended": status is not None}, []

    def _socket(self, where: str, **spec: Any) -> tuple[dict[str, Any], list[int]]:
        self._enter(where)
        try:
            return {}, [_open(spec).detach()]
        finally:
            self._enter("far")


def _open(spec: Mapping[str, Any]) -> socket.socket:
    kind = spec["kind"]
    if kind == "packet":
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD_BYTES)
        # A new veth end has no queue until the kernel's link watch comes round: send past it.
        sock.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        sock.bind((spec["iface"], spec["protocol"]))
        return sock
    if kind == "raw":
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    else:
        family = socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
        stream = kind.startswith("tcp")
        sock = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "mark" in spec:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, spec["mark"])
    if "options" in spec:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes.fromhex(spec["options"]))
    if spec.get("freebind"):
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    if "bind" in spec:
        sock.bind(tuple(spec["bind"]))
    if spec.get("listen"):
        sock.listen()
    return sock


def _serve(control: socket.socket) -> None:
    helper = _Helper()
    while data := control.recv(1 << 20):
        answer, fds = helper.answer(json.loads(data))
        socket.send_fds(control, [b"-"], fds)
        for fd in fds:  # before the answer: the only copy is the test's, and closing it counts
            os.close(fd)
        control.send(json.dumps(answer).encode())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

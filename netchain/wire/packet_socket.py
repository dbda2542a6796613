"""Packet sockets: opened ready to capture, and what the kernel says about them.

Theory of operation: whoever stands in a qube's network namespace opens the socket there; a socket
stays in the namespace it was opened in, so it can be handed to the one process that reads all of
them. It is created for no protocol, set up, and bound last: bind() starts the capture, so when
`open_packet_socket` returns, every later frame is heard (packet(7)).

What such a socket does not hear: frames sent through itself, hence the separate
`open_inject_socket`; and frames that another socket sends out of the same interface with
PACKET_QDISC_BYPASS (packet(7)). The other end of the link hears both: a qube that may cheat is
tapped at the far end of its link.
"""

import socket
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from netchain.wire.flow import LinkType

SOL_PACKET = 263
PACKET_AUXDATA = 8
SO_TIMESTAMPNS = 64
"""SO_TIMESTAMPNS_NEW: 64-bit seconds and nanoseconds (asm-generic/socket.h)."""

_ETH_P_ALL = 3
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33

_LINK_TYPES = {
    1: LinkType.ETHERNET,
    772: LinkType.ETHERNET,  # loopback
    768: LinkType.RAW_IP,  # ipip
    769: LinkType.RAW_IP,  # ip6tnl
    776: LinkType.RAW_IP,  # sit
    65534: LinkType.RAW_IP,  # none: tun, WireGuard
}
"""By ARPHRD number (linux/if_arp.h)."""


def open_packet_socket(interface: str, receive_buffer: int = 64 << 20) -> socket.socket:
    """A socket that hears every frame of `interface`, in both directions, from now on.

    `receive_buffer` is in bytes of kernel memory, of which a short frame takes about 800; without
    CAP_NET_ADMIN in the first user namespace the kernel cuts it down to net.core.rmem_max. (It
    doubles what it grants, socket(7).) The interface may be down; it is heard once it is up.

    Raises OSError: PermissionError without CAP_NET_RAW, ENODEV without such an interface.
    """
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        try:
            tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        tap.bind((interface, 0))  # for the error of a missing interface, which the next call hides
        index = socket.if_nametoindex(interface)
        membership = struct.pack("iHH8x", index, _PACKET_MR_PROMISC, 0)
        tap.setsockopt(SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
        tap.bind((interface, _ETH_P_ALL))
    except BaseException:
        tap.close()
        raise
    return tap


def open_inject_socket(interface: str) -> socket.socket:
    """A socket that sends frames out of `interface` and hears none. Raises OSError as above."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sender.bind((interface, 0))
    except BaseException:
        sender.close()
        raise
    return sender


def is_capturing(tap: socket.socket) -> bool:
    """Whether `tap` delivers what the reader counts on: made by `open_packet_socket`."""
    return bool(
        tap.family == socket.AF_PACKET
        and tap.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS)
        and tap.getsockopt(SOL_PACKET, PACKET_AUXDATA)
    )


def interface_of(tap: socket.socket) -> str:
    """Name of the interface that `tap` is bound to, in its own namespace; "" if it is gone."""
    name: str = tap.getsockname()[0]
    return name


def link_type_of(tap: socket.socket) -> LinkType:
    """How the frames of `tap` begin. Raises ValueError for hardware that is not known here."""
    hardware: int = tap.getsockname()[3]
    if hardware not in _LINK_TYPES:
        raise ValueError(f"frames of {interface_of(tap)!r} (ARPHRD type {hardware}) are not known")
    return _LINK_TYPES[hardware]


def take_drops(tap: socket.socket) -> int:
    """Frames that the kernel dropped for want of buffer since the last call (PACKET_STATISTICS)."""
    _, drops = struct.unpack("II", tap.getsockopt(SOL_PACKET, _PACKET_STATISTICS, 8))
    return int(drops)


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close them in parallel: the kernel waits 15 ms for each (RCU), for all hardly longer."""
    with ThreadPoolExecutor(max_workers=len(sockets) or 1) as pool:
        list(pool.map(socket.socket.close, sockets))

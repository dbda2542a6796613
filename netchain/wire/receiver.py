"""Read packet sockets in batches, with the time, direction and VLAN tag of each frame.

Theory of operation: one recvmmsg(2) fills up to `BATCH` preset buffers: frame, address (for the
direction) and control messages (kernel timestamp, and the auxiliary data that holds the length on
the wire and a VLAN tag that the kernel took off, packet(7)). The tag is put back where it was, for
a tagged frame must not look untagged. Nothing is assumed: control messages in another order than
the kernel's, or lengths that differ, are an error or mark the frame as truncated.

The call goes through ctypes because it must not let go of the interpreter lock: `socket.recvmsg`
does for each frame, and then waits up to 5 ms to get it back while another thread computes; 420
frames a second were left on a machine that takes 300,000 so. It never blocks, so keeping the lock
is harmless.
"""

import ctypes
import errno
import mmap
import os
import socket
from struct import Struct

from netchain.wire.capture import Captured
from netchain.wire.flow import LinkType
from netchain.wire.packet_socket import PACKET_AUXDATA, SO_TIMESTAMPNS, SOL_PACKET

BATCH = 128
"""Frames that one call reads at most."""
_SNAP = 1 << 17
"""Bytes of a frame that are read: a whole segment of 64 KiB, as offloading makes them, fits."""
_ADDRESS = 20
_CONTROL = 96

_HEAD = Struct("@40xNi4xI4x")
"""Of struct mmsghdr: msg_controllen, msg_flags, msg_len."""
_CONTROLS = Struct("@8xiiqq8xiiII8xHH")
"""Two struct cmsghdr: cmsg_level, cmsg_type and tv_sec, tv_nsec of a struct timespec; cmsg_level,
cmsg_type and tp_status, tp_len, tp_vlan_tci, tp_vlan_tpid of a struct tpacket_auxdata."""
_EXPECTED = (socket.SOL_SOCKET, SO_TIMESTAMPNS, SOL_PACKET, PACKET_AUXDATA)
_TAG = Struct("!HH")

_PACKET_TYPE = 10
"""Offset of sll_pkttype in struct sockaddr_ll."""
_PACKET_OUTGOING = 4
_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
"""A plain int: arithmetic with the enumeration would cost 1 us a frame."""
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40
_ETHERTYPE_VLAN = 0x8100


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Header(ctypes.Structure):
    """struct msghdr, recvmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Message(ctypes.Structure):
    """struct mmsghdr, recvmmsg(2)."""

    _fields_ = (("header", Header), ("length", ctypes.c_uint))


class Receiver:
    """Buffers for one thread to read any number of packet sockets with."""

    def __init__(self) -> None:
        """Raises NotImplementedError where the structures are not those of 64-bit Linux."""
        if ctypes.sizeof(Message) != _HEAD.size or _HEAD.size != 64:
            raise NotImplementedError("packets can be captured on 64-bit Linux only")
        # Anonymous memory: a page takes room only once a frame was written to it.
        self._frames = mmap.mmap(-1, BATCH * _SNAP)
        self._addresses = bytearray(BATCH * _ADDRESS)
        self._controls = bytearray(BATCH * _CONTROL)
        self._vectors = (_Vector * BATCH)()
        self._messages = (Message * BATCH)()
        self._fill()
        self._heads = memoryview(self._messages).cast("B")
        self._untouched = bytes(self._heads)
        self._recvmmsg = ctypes.PyDLL(None, use_errno=True).recvmmsg

    def _fill(self) -> None:
        frames = _address_of(self._frames)
        addresses = _address_of(self._addresses)
        controls = _address_of(self._controls)
        vectors = ctypes.addressof(self._vectors)
        for number, (vector, message) in enumerate(zip(self._vectors, self._messages, strict=True)):
            vector.base, vector.length = frames + number * _SNAP, _SNAP
            header = message.header
            header.name, header.name_length = addresses + number * _ADDRESS, _ADDRESS
            header.vectors = vectors + number * ctypes.sizeof(_Vector)
            header.vector_count = 1
            header.control, header.control_length = controls + number * _CONTROL, _CONTROL

    def receive(self, descriptor: int, link: str, link_type: LinkType) -> list[Captured]:
        """The next frames of the packet socket `descriptor`, at most `BATCH`; [] if none waits.

        They are labelled with `link`. Raises OSError for an error of the socket (ENETDOWN ...), and
        RuntimeError if the kernel's messages are not understood.
        """
        self._heads[:] = self._untouched
        count = self._recvmmsg(descriptor, self._messages, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            error = ctypes.get_errno()
            if error in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(error, os.strerror(error))
        batch = []
        heads = _HEAD.iter_unpack(self._heads[: count * _HEAD.size])
        for number, (control_length, flags, length) in enumerate(heads):
            level, kind, seconds, nanoseconds, level2, kind2, status, wire_length, tci, tpid = (
                _CONTROLS.unpack_from(self._controls, number * _CONTROL)
            )
            # Without its length, what an earlier frame left there would be believed.
            if control_length < _CONTROLS.size or (level, kind, level2, kind2) != _EXPECTED:
                raise RuntimeError(f"{link}: control messages are not the expected ones")
            frame = self._frames[number * _SNAP : number * _SNAP + length]
            if status & _VLAN_VALID:
                frame = _tagged(frame, link_type, status, tci, tpid)
            time_ns = seconds * 1_000_000_000 + nanoseconds
            packet_type = self._addresses[number * _ADDRESS + _PACKET_TYPE]
            truncated = length != wire_length or flags & _CUT != 0
            batch.append(
                Captured(
                    link, time_ns, packet_type == _PACKET_OUTGOING, frame, truncated, link_type
                )
            )
        return batch


def _tagged(frame: bytes, link_type: LinkType, status: int, tci: int, tpid: int) -> bytes:
    """`frame` with the tag that the kernel took off; in front of raw IP no decoder accepts it."""
    at = 12 if link_type is LinkType.ETHERNET else 0
    tag = _TAG.pack(tpid if status & _VLAN_TPID_VALID else _ETHERTYPE_VLAN, tci)
    return frame[:at] + tag + frame[at:]


def _address_of(memory: mmap.mmap | bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))

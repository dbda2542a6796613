"""Hears and sends frames inside a qube that is a machine of its own, for a tap outside of it.

This one file runs there, on Python 3.9 or later with nothing but its standard library; its standard
input and output are a stream each: a pipe, qrexec or a virtio-serial port. It imports nothing of
netchain; the near side (`remote_agent`) takes the definitions of the protocol from here.

Protocol: first the agent writes `GREETING`. Then commands come in and records go out, both as
`HEAD` (kind, number, length of the body) and body. Each command is answered in turn by an `ANSWER`:
an errno, 0 if all went well, and what was asked for. The number names an end: an interface that is
heard (an ear) or sent through (a mouth); the near side chooses it and never uses it twice. The
`ANSWER` to `HEAR` says that the ear is armed: later frames are heard.

    HEAR     interface  open an ear; answered by the granted receive buffer, in bytes
    SPEAK    interface  open a mouth
    SEND     frames     out of a mouth, each behind its length; answered by how many were sent
    FORGET              bring all that an ear heard, answer as STATUS does, and close the end
    STATUS   limit      bytes of FRAME records that may go out in all, from the start; answered by
                        both clocks and, for each ear, its state and what it lost
    END                 write what is left, and end; as the end of the input does at once

    FRAME               flags, time and a frame of an ear
    GONE                an ear that will bring nothing more; once

The output is bounded twice: by the limit, which is 0 at the start, and by `QUEUE` when the reader
is slow. A frame that does not fit is not kept but counted; reading goes on.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from struct import Struct

GREETING = b"netchain-agent 1\n"
HEAD = Struct("!BHI")
HEAR, SPEAK, SEND, FORGET, STATUS, END = range(1, 7)
FRAME, GONE, ANSWER = range(101, 104)

FRAME_HEAD = Struct("!BQ")
OUTGOING, TRUNCATED, RAW_IP = 1, 2, 4
"""The flags in front of a frame, which the time follows (CLOCK_REALTIME, in ns)."""
RESULT = Struct("!I")
LENGTH = Struct("!I")
LIMIT = Struct("!Q")
CLOCKS = Struct("!QQ")
"""CLOCK_REALTIME and CLOCK_MONOTONIC, in ns."""
EAR = Struct("!HBIIQ")
"""Number, state, errno of what ended it; outages and frames lost since it was armed."""
UP, DOWN, ENDED = range(3)

SNAP = 1 << 17
"""Bytes of a frame that are read: a whole segment of 64 KiB, as offloading makes them, fits."""
MAX_BODY = SNAP + 64
"""Of a command or a record."""
QUEUE = 8 << 20
"""Bytes of records that wait for a slow reader at most, but for answers."""

_TURN = 128  # frames that one ear may bring before others have their turn
_RECHECK_S = 0.05  # to see whether an interface that is down is gone, which the kernel does not say
_FLUSH, _RECEIVE_BUFFER = 1 << 16, 64 << 20

_PACKET_SOCKET = (socket.AF_PACKET, socket.SOCK_RAW, 0)  # captures nothing before it is bound
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8  # as packet_socket.py
_ADD_MEMBERSHIP, _PROMISCUOUS = 1, Struct("=iHH8x")
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 64
_ETH_P_ALL, _ETH_P_8021Q, _PACKET_OUTGOING = 3, 0x8100, 4
_TIME, _AUXDATA, _DROPS, _TAG = Struct("=qq"), Struct("=IIIHHHH"), Struct("=II"), Struct("!HH")
_CONTROL = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(_AUXDATA.size)
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40
_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_RAW_IP = {1: 0, 772: 0, 768: RAW_IP, 769: RAW_IP, 776: RAW_IP, 65534: RAW_IP}
"""Whether frames begin with the IP header, by ARPHRD number (linux/if_arp.h)."""


class Ear:
    """One interface that is heard, and what became of it."""

    def __init__(self, number: int, interface: str) -> None:
        """Armed when this returns. OSError without such an interface or CAP_NET_RAW."""
        self.number = number
        self.state, self.error, self.down_ns, self.outages, self.lost = UP, 0, 0, 0, 0
        self.socket = ear = socket.socket(*_PACKET_SOCKET)
        ear.setblocking(False)
        try:
            ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        ear.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        ear.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        ear.bind((interface, 0))
        hardware = ear.getsockname()[3]
        if hardware not in _RAW_IP:
            raise OSError(errno.EPROTONOSUPPORT, f"frames of ARPHRD type {hardware} are not known")
        self.flags = _RAW_IP[hardware]
        promiscuous = _PROMISCUOUS.pack(socket.if_nametoindex(interface), 1, 0)
        ear.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, promiscuous)
        ear.bind((interface, _ETH_P_ALL))  # starts the capture, packet(7)

    def receive(self, buffer: bytearray) -> bytes:
        """The body of the next FRAME record. BlockingIOError when none waits, OSError for an error
        of the interface, KeyError or struct.error when the kernel's messages are others."""
        length, controls, flags, address = self.socket.recvmsg_into([buffer], _CONTROL)
        given = {(level, kind): data for level, kind, data in controls}
        seconds, nanoseconds = _TIME.unpack(given[socket.SOL_SOCKET, _SO_TIMESTAMPNS])
        auxdata = _AUXDATA.unpack(given[_SOL_PACKET, _PACKET_AUXDATA])
        status, wire_length, _, _, _, tci, tpid = auxdata
        marks = self.flags | (OUTGOING if address[2] == _PACKET_OUTGOING else 0)
        if flags & _CUT or length != wire_length:
            marks |= TRUNCATED
        time_ns = seconds * 1_000_000_000 + nanoseconds
        if self.state == DOWN and time_ns > self.down_ns:
            self.state = UP
        head, frame = FRAME_HEAD.pack(marks, time_ns), memoryview(buffer)[:length]
        if not status & _VLAN_VALID:
            return b"".join((head, frame))
        at = 0 if self.flags & RAW_IP else 12  # in front of raw IP no decoder accepts a tag
        tag = _TAG.pack(tpid if status & _VLAN_TPID_VALID else _ETH_P_8021Q, tci)
        return b"".join((head, frame[:at], tag, frame[at:]))

    def is_gone(self) -> bool:
        return not self.socket.getsockname()[0]

    def report(self) -> bytes:
        """What STATUS tells."""
        _, dropped = _DROPS.unpack(self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self.lost += dropped
        return EAR.pack(self.number, self.state, self.error, self.outages, self.lost)


class Agent:
    """All ends of one qube, and the two streams."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.ears: dict[int, Ear] = {}
        self.mouths: dict[int, socket.socket] = {}
        self.commands, self.records = bytearray(), bytearray(GREETING)
        self.limit = self.framed = 0
        self.ending = self.waits = False
        self.buffer = bytearray(SNAP)
        self.selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until END or the end of the input. OSError when the output is closed."""
        os.set_blocking(self.source, False)
        os.set_blocking(self.sink, False)
        self.selector.register(self.source, selectors.EVENT_READ)
        while True:
            self.flush()
            if self.ending and not self.records:
                return
            down = any(ear.state == DOWN for ear in self.ears.values())
            for key, _ in self.selector.select(_RECHECK_S if down else None):
                if isinstance(key.data, Ear):
                    if key.data.number in self.ears:  # not forgotten just now
                        self.drain(key.data)
                elif key.fd == self.source and not self.read_commands():
                    return
            for ear in self.ears.values():
                if ear.state == DOWN and ear.is_gone():
                    self.bury(ear, errno.ENETDOWN)

    def flush(self) -> None:
        """Write what the reader takes; wait for it only where something is left."""
        try:
            while self.records:
                del self.records[: os.write(self.sink, self.records[:_FLUSH])]
        except BlockingIOError:
            pass
        waits = bool(self.records)
        if waits and not self.waits:
            self.selector.register(self.sink, selectors.EVENT_WRITE)
        elif self.waits and not waits:
            self.selector.unregister(self.sink)
        self.waits = waits

    def drain(self, ear: Ear) -> bool:
        """Take some of what waits at an ear, also behind an error; whether there may be more."""
        for _ in range(_TURN):
            try:
                body = ear.receive(self.buffer)
            except BlockingIOError:
                return False
            except OSError as error:
                ear.outages += 1
                if error.errno != errno.ENETDOWN or ear.is_gone():
                    self.bury(ear, error.errno or errno.EIO)
                    return False
                ear.state, ear.down_ns = DOWN, time.time_ns()
                continue
            size = HEAD.size + len(body)
            if self.framed + size > self.limit or len(self.records) + size > QUEUE:
                ear.lost += 1
            else:
                self.framed += size
                self.put(FRAME, ear.number, body)
        return True

    def bury(self, ear: Ear, error: int) -> None:
        ear.state, ear.error = ENDED, error
        self.selector.unregister(ear.socket)
        self.put(GONE, ear.number, b"")

    def put(self, kind: int, number: int, body: bytes) -> None:
        self.records += HEAD.pack(kind, number, len(body))
        self.records += body

    def read_commands(self) -> bool:
        """Obey what came in; False at the end of the input. ValueError for what is no command."""
        try:
            data = os.read(self.source, _FLUSH)
        except BlockingIOError:
            return True
        self.commands += data
        while len(self.commands) >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self.commands)
            if length > MAX_BODY:
                raise ValueError(f"a command of {length} bytes")
            if len(self.commands) < HEAD.size + length:
                break
            body = bytes(self.commands[HEAD.size : HEAD.size + length])
            del self.commands[: HEAD.size + length]
            try:
                self.put(ANSWER, number, RESULT.pack(0) + self.obey(kind, number, body))
            except OSError as error:
                self.put(ANSWER, number, RESULT.pack(error.errno or errno.EIO))
        return bool(data)

    def obey(self, kind: int, number: int, body: bytes) -> bytes:
        """The answer to a command. OSError is told to whoever asked; other errors end the agent."""
        if kind == HEAR:
            ear = self.ears[number] = Ear(number, body.decode())
            self.selector.register(ear.socket, selectors.EVENT_READ, ear)
            return LENGTH.pack(ear.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        if kind == SPEAK:
            self.mouths[number] = socket.socket(*_PACKET_SOCKET)
            self.mouths[number].bind((body.decode(), 0))
        elif kind == SEND:
            return LENGTH.pack(send(self.mouths[number], body))
        elif kind == FORGET:
            return self.forget(number)
        elif kind == STATUS:
            (self.limit,) = LIMIT.unpack(body)
            return self.status()
        elif kind == END:
            self.ending, self.limit = True, 0
        else:
            raise ValueError(f"an unknown command {kind}")
        return b""

    def forget(self, number: int) -> bytes:
        if number in self.mouths:
            self.mouths.pop(number).close()
            return self.status()
        ear = self.ears[number]
        if ear.state != ENDED:
            with suppress(OSError):  # its interface went just now
                ear.socket.bind((ear.socket.getsockname()[0], 0))  # ends the capture
            while self.drain(ear):
                pass
        status = self.status()
        if ear.state != ENDED:
            self.selector.unregister(ear.socket)
        self.ears.pop(number).socket.close()
        return status

    def status(self) -> bytes:
        clocks = CLOCKS.pack(time.time_ns(), time.monotonic_ns())
        return clocks + b"".join(ear.report() for ear in self.ears.values())


def send(mouth: socket.socket, frames: bytes) -> int:
    """Send frames, each behind its length, until one cannot be sent; how many were. OSError if
    that was the first one."""
    count = at = 0
    while at < len(frames):
        (length,) = LENGTH.unpack_from(frames, at)
        at += LENGTH.size + length
        try:
            mouth.send(frames[at - length : at], socket.MSG_DONTWAIT)
        except OSError:
            if count:
                break
            raise
        count += 1
    return count


if __name__ == "__main__":
    try:
        Agent(0, 1).run()
    except BrokenPipeError:
        sys.exit(1)

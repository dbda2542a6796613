"""Classic pcap files with nanosecond timestamps: what was captured, for any other tool to read.

Theory of operation: a file is a header of 24 bytes (magic number, version, snap length, link type)
and, per frame, a record header of 16 bytes (seconds, nanoseconds, stored length, length on the
wire) in front of the bytes. `encode` makes those bytes, `decode_pcap` reads them back; the two
functions that touch files are thin. The format is that of draft-ietf-opsawg-pcap; one file has one
link type, so the links of a chain that differ in it need a file each.

Captures show who talks to whom: a new file can be read by its owner only.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from netchain.wire.flow import LinkType

_MAGIC = 0xA1B23C4D
"""Nanoseconds; 0xa1b2c3d4 would say microseconds."""
_SNAP_LENGTH = 262144
"""The largest that libpcap accepts (its MAXIMUM_SNAPLEN)."""
_CODES = {LinkType.ETHERNET: 1, LinkType.RAW_IP: 101}
"""LINKTYPE_ETHERNET and LINKTYPE_RAW."""
_LINK_TYPES = {code: link_type for link_type, code in _CODES.items()}

_FILE = "IHHiIII"
_RECORD = "IIII"
_WRITE_FILE, _WRITE_RECORD = Struct("<" + _FILE), Struct("<" + _RECORD)
_SECOND_NS = 1_000_000_000


class PcapError(ValueError):
    """The bytes are no nanosecond pcap file of a link type known here, or end too early."""


class Record(NamedTuple):
    """One stored frame."""

    time_ns: int
    """Since 1970, UTC, in nanoseconds."""
    frame: bytes


def encode(records: Iterable[tuple[int, bytes]], link_type: LinkType) -> Iterator[bytes]:
    """The pieces of a pcap file that holds `records`: pairs of time (ns since 1970) and frame.

    Raises ValueError for a time outside 1970 to 2106, which the format cannot hold.
    """
    yield _WRITE_FILE.pack(_MAGIC, 2, 4, 0, 0, _SNAP_LENGTH, _CODES[link_type])
    for time_ns, frame in records:
        seconds, nanoseconds = divmod(time_ns, _SECOND_NS)
        if not 0 <= seconds < 1 << 32:
            raise ValueError(f"a pcap file cannot hold the time {time_ns} ns")
        yield _WRITE_RECORD.pack(seconds, nanoseconds, len(frame), len(frame))
        yield frame


def decode_pcap(data: bytes) -> tuple[LinkType, list[Record]]:
    """Link type and frames of the pcap file `data`, written in either byte order.

    Raises PcapError.
    """
    if len(data) < _WRITE_FILE.size:
        raise PcapError(f"a pcap file has at least {_WRITE_FILE.size} bytes, this one {len(data)}")
    order = "<" if data[:4] == _MAGIC.to_bytes(4, "little") else ">"
    magic, _, _, _, _, _, code = Struct(order + _FILE).unpack_from(data)
    if magic != _MAGIC:
        raise PcapError(f"no pcap file with nanoseconds (magic number {magic:#x})")
    if code not in _LINK_TYPES:
        raise PcapError(f"link type {code} is neither Ethernet (1) nor raw IP (101)")
    return _LINK_TYPES[code], list(_records(data, Struct(order + _RECORD)))


def _records(data: bytes, header: Struct) -> Iterator[Record]:
    at = _WRITE_FILE.size
    while at < len(data):
        start = at + header.size
        if start > len(data):
            raise PcapError(f"the file ends inside the record header at byte {at}")
        seconds, nanoseconds, stored, _ = header.unpack_from(data, at)
        at = start + stored
        if at > len(data):
            raise PcapError(f"the file ends inside the frame at byte {start}")
        yield Record(seconds * _SECOND_NS + nanoseconds, data[start:at])


def write_pcap(path: Path, records: Iterable[tuple[int, bytes]], link_type: LinkType) -> None:
    """Write `records` (time in ns since 1970, frame) to `path`, replacing what it held.

    Raises OSError, and ValueError as `encode` does.
    """
    path.touch(mode=0o600)
    with path.open("wb") as file:
        file.writelines(encode(records, link_type))


def read_pcap(path: Path) -> tuple[LinkType, list[Record]]:
    """Link type and frames of the pcap file at `path`. Raises OSError and PcapError."""
    return decode_pcap(path.read_bytes())

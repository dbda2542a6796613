"""Pcap files: read back, and read by foreign parsers (scapy always, tcpdump where it is there)."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from netchain.wire.flow import LinkType
from netchain.wire.pcap import PcapError, decode_pcap, encode, read_pcap, write_pcap

TIME_NS = 1_760_000_000_123_456_789
PACKET = IP(src="10.0.0.1", dst="198.51.100.7") / UDP(sport=40000, dport=51820) / b"data"
FRAME = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / PACKET

HEADER = bytes.fromhex("4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000")


def test_bytes_of_a_file() -> None:
    assert b"".join(encode([], LinkType.ETHERNET)) == HEADER
    record = b"".join(encode([(TIME_NS, b"\xaa\xbb")], LinkType.ETHERNET))[len(HEADER) :]
    assert record == bytes.fromhex("0078e768 15cd5b07 02000000 02000000 aabb")


times = st.integers(0, (1 << 32) * 10**9 - 1)


@given(st.lists(st.tuples(times, st.binary(max_size=64))), st.sampled_from(LinkType))
def test_what_was_written_is_read_back(
    records: list[tuple[int, bytes]], link_type: LinkType
) -> None:
    data = b"".join(encode(records, link_type))
    assert decode_pcap(data) == (link_type, records)


@pytest.mark.parametrize(
    ("link_type", "packet"), [(LinkType.ETHERNET, FRAME), (LinkType.RAW_IP, PACKET)]
)
def test_scapy_reads_it(tmp_path: Path, link_type: LinkType, packet: IP) -> None:
    path = tmp_path / "link.pcap"
    write_pcap(path, [(TIME_NS, bytes(packet)), (TIME_NS + 1, bytes(packet))], link_type)
    assert read_pcap(path) == (link_type, [(TIME_NS, bytes(packet)), (TIME_NS + 1, bytes(packet))])
    first, second = rdpcap(str(path))
    assert bytes(first) == bytes(packet)
    assert first[UDP].dport == 51820
    assert [int(one.time * 10**9) for one in (first, second)] == [TIME_NS, TIME_NS + 1]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize(
    ("link_type", "packet"), [(LinkType.ETHERNET, FRAME), (LinkType.RAW_IP, PACKET)]
)
def test_tcpdump_reads_it(tmp_path: Path, link_type: LinkType, packet: IP) -> None:
    path = tmp_path / "link.pcap"
    write_pcap(path, [(TIME_NS, bytes(packet))], link_type)
    command = ["tcpdump", "-n", "-tt", "--nano", "-r", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("1760000000.123456789 IP 10.0.0.1.40000 > 198.51.100.7.51820: UDP")


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "link.pcap"
    write_pcap(path, [], LinkType.RAW_IP)
    assert path.stat().st_mode & 0o777 == 0o600


def test_big_endian_is_read() -> None:
    header = bytes.fromhex("a1b23c4d 0002 0004 00000000 00000000 00040000 00000065")
    record = bytes.fromhex("00000001 00000002 00000001 00000001 ee")
    assert decode_pcap(header + record) == (LinkType.RAW_IP, [(1_000_000_002, b"\xee")])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least 24 bytes, this one 0"),
        (HEADER[:23], "at least 24 bytes, this one 23"),
        (b"\xd4\xc3\xb2\xa1" + HEADER[4:], "nanoseconds"),
        (HEADER[:20] + b"\x71\0\0\0", "link type 113"),
        (HEADER + bytes(15), "record header at byte 24"),
        (HEADER + bytes(8) + b"\2\0\0\0" * 2 + b"x", "frame at byte 40"),
    ],
)
def test_what_is_no_such_file(data: bytes, message: str) -> None:
    with pytest.raises(PcapError, match=message):
        decode_pcap(data)


@pytest.mark.parametrize("time_ns", [-1, (1 << 32) * 10**9])
def test_times_that_do_not_fit(time_ns: int) -> None:
    with pytest.raises(ValueError, match="cannot hold the time"):
        list(encode([(time_ns, b"")], LinkType.ETHERNET))

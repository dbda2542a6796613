"""The page's evidence: a block for each leak, with its first packet and a capture to take away."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from leaktests.report.facts import Evidence, Report
from netchain.wire.flow import LinkType
from netchain.wire.pcap import encode

_BYTES = 128
"""How many bytes of a packet are shown; the capture has them all."""


def render(report: Report) -> str:
    return "\n".join(_block(leak) for leak in report.leaks)


def _block(leak: Evidence) -> str:
    cause = leak.cause
    facts = {
        "first packet": escape(leak.what),
        "link": f"{escape(leak.link)}, {escape(leak.direction)}",
        "trial" if leak.trial else "state": escape(leak.trial or leak.state),
        "window": f"{escape(leak.window)} ({escape(leak.time)})",
        "cause": f"not held by <b>{escape(cause.place)}</b>, the last drop of chain"
        f" {escape(cause.chain)} in {escape(cause.qube)} (“{escape(cause.why)}”)",
        "fix": escape(leak.fix),
        "capture": _capture(leak),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{told}</dd>" for name, told in facts.items())
    return (
        f"<div class='leak' id='{escape(leak.id)}'><h3>✗ {escape(leak.title)}</h3><dl>{rows}</dl>"
        f"{_dump(leak)}</div>"
    )


def _capture(leak: Evidence) -> str:
    if not leak.packets:
        return "left out of a redacted report"
    link_type = LinkType.RAW_IP if leak.without_ethernet else LinkType.ETHERNET
    records = [(packet.time_ns, packet.frame) for packet in leak.packets]
    data = b64encode(b"".join(encode(records, link_type))).decode()
    name = f"{leak.id}.pcap"
    kept = len(records)
    which = "1 packet" if kept == 1 else f"{kept} packets"
    first = f"the first {kept} of {leak.count} packets" if kept < leak.count else which
    return (
        f"<a download='{escape(name)}' href='data:application/vnd.tcpdump.pcap;base64,{data}'>"
        f"{escape(name)}</a> ({first})"
    )


def _dump(leak: Evidence) -> str:
    """The first packet in hexadecimal digits, sixteen bytes a line."""
    if not leak.packets:
        return ""
    frame = leak.packets[0].frame
    shown = frame[:_BYTES]
    lines = [f"{at:04x}  {shown[at : at + 16].hex(' ')}" for at in range(0, len(shown), 16)]
    more = len(frame) - len(shown)
    rest = f"<p class='few'>and {more} more bytes, in the capture</p>" if more else ""
    return f"<pre>{chr(10).join(lines)}</pre>{rest}"

"""Who saw what: cells of the table, made from captured frames alone.

An observer is a place on the private internet with a tap. A cell lists whose addresses passed
there, whether the site's name could be read there, and whether the page could. The address book
turns addresses into words; an address that is in no book is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

from netchain.lab import internet, tornet
from netchain.lab.provider import Provider
from netchain.model.chain import Address, Wan
from netchain.wire.capture import Captured
from netchain.wire.decode import decode

YOU, VPN, RELAY, EXIT = "you", "VPN server", "a Tor relay", "exit relay"
_IP = (0x0800, 0x86DD)
_INNER_GATEWAYS: tuple[Address, ...] = tuple(
    gateway
    for name in internet.PROVIDERS
    for gateway in (Provider(name, Path()).gateway4(), Provider(name, Path()).gateway6())
)


def address_book(wan: Wan, inner: Iterable[Address]) -> dict[Address, str]:
    """Words for every address of the lab, as one chain sees it."""
    book: dict[Address, str] = {wan.address4: YOU}
    if wan.address6 is not None:
        book[wan.address6] = YOU
    book.update(dict.fromkeys(inner, YOU))
    book.update(dict.fromkeys(_INNER_GATEWAYS, VPN))
    for host in internet.HOSTS:
        word = _word(host.name)
        book[host.address4] = book[host.address6] = word
    return book


def _word(name: str) -> str:
    if name in internet.PROVIDERS:
        return VPN
    for node in tornet.NODES:
        if node.name == name:
            return EXIT if node.kind == "exit" else RELAY
    return internet.SITE_NAME if name == internet.SITE else name


def sees(
    frames: Iterable[Captured], book: Mapping[Address, str], own: str, token: str
) -> dict[str, object]:
    """One cell: `who` (words, without the observer itself), `name` and `page` (readable there)."""
    who: set[str] = set()
    content = b""
    for captured in frames:
        flow = decode(captured.frame, captured.link_type)
        if flow.ethertype not in _IP or flow.protocol not in (6, 17):
            continue
        for packed in (flow.source, flow.destination):
            if packed is not None:
                address = _address(packed)
                who.add(book.get(address, str(address)))
        content += flow.payload
    name = internet.SITE_NAME.encode() in content or b"\x04news\x03lab\x00" in content
    return {
        "who": sorted(who - {own, internet.DNS}),
        "name": name,
        "page": token.encode() in content,
    }


def _address(packed: bytes) -> Address:
    return ip_address(packed)


def carriers(
    frames: Mapping[str, Iterable[Captured]], names: Iterable[str], token: str
) -> list[str]:
    """The hosts among `names` past whose port the page went in the clear."""
    return [n for n in names if any(token.encode() in c.frame for c in frames[n])]


def busiest(frames: Mapping[str, Iterable[Captured]], names: Iterable[str], peer: Address) -> str:
    """The host among `names` that exchanged most bytes with the peer; "" for none."""
    totals = {}
    for name in names:
        totals[name] = sum(
            len(c.frame) for c in frames[name] if peer.packed in decode(c.frame)[1:3]
        )
    best = max(totals, key=lambda n: totals[n], default="")
    return best if best and totals[best] else ""


def words(cell: Mapping[str, object]) -> str:
    """The cell as a person reads it."""
    found = cell["who"] if isinstance(cell["who"], list) else []
    who = sorted(found, key=lambda word: (word != YOU, word))
    if cell["name"] and internet.SITE_NAME not in who:
        who.append(internet.SITE_NAME)
    return ", ".join([*who, *(["the page"] if cell["page"] else [])]) or "-"

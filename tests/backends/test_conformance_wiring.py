"""Links between qubes, one suite for every backend.

Not covered: the uplink's wire, which takes a router (tests/lab).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from qubes_of import FIREWALL, NEW_VPN, VPN, WAIT_S, create, observed

from netchain.backends.base import Backend
from netchain.errors import NetchainError
from netchain.model.allowed import Direction, Link
from netchain.model.chain import Chain


def test_attach_and_detach(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    wiring = backend.wiring(chain, VPN)
    assert wiring
    assert observed(backend, chain, VPN) == replace(NEW_VPN, link=FIREWALL, wiring=wiring)
    assert observed(backend, chain, FIREWALL).link is None
    backend.detach(chain, VPN)
    assert observed(backend, chain, VPN).link is None
    backend.attach(chain, VPN)
    assert observed(backend, chain, VPN).link == FIREWALL


def test_attach_needs_both_ends_and_detach_a_link(backend: Backend, chain: Chain) -> None:
    with pytest.raises(NetchainError):
        backend.attach(chain, VPN)
    backend.create(chain, VPN)
    with pytest.raises(NetchainError):
        backend.attach(chain, VPN)
    with pytest.raises(NetchainError):
        backend.detach(chain, VPN)
    assert observed(backend, chain, VPN).link is None


def carries(backend: Backend, chain: Chain, link: Link) -> bool:
    """Whether the tap hears a frame that the client sends."""
    frame = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + b"conformance".ljust(46, b"\0")
    end = backend.injector(chain, link, Direction.UP)
    with backend.taps(chain, [link])[link.name] as tap, end:
        tap.settimeout(WAIT_S)
        end.send(frame)
        while tap.recv(2048) != frame:  # whatever else a kernel may say there
            pass
    return True


def test_a_wire_carries_frames_from_the_client_to_the_tap(backend: Backend, chain: Chain) -> None:
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    assert carries(backend, chain, Link(VPN, FIREWALL))
    backend.detach(chain, VPN)
    with pytest.raises(NetchainError):
        backend.injector(chain, Link(VPN, FIREWALL), Direction.UP)


def test_a_link_of_a_chain_in_another_order_has_another_wiring(
    backend: Backend, chain: Chain
) -> None:
    """The order gives each qube its address."""
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    first, *rest = chain.qubes
    moved = replace(chain, qubes=(*rest, first))
    assert backend.wiring(moved, VPN) != backend.wiring(chain, VPN)
    assert observed(backend, chain, VPN).wiring == backend.wiring(chain, VPN)


def test_the_clients_of_a_removed_netvm_are_wired_anew(backend: Backend, chain: Chain) -> None:
    """At once, though a kernel may take its time to let the old wire go."""
    create(backend, chain, FIREWALL, VPN)
    backend.attach(chain, VPN)
    backend.remove(chain, FIREWALL)
    backend.create(chain, FIREWALL)
    backend.attach(chain, VPN)
    assert observed(backend, chain, VPN).link == FIREWALL
    assert carries(backend, chain, Link(VPN, FIREWALL))

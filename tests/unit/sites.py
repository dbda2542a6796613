"""A chain's site on a backend in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netchain.backends.fake import FakeBackend
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.prove import Sensor
from netchain.site import Site
from netchain.vpn.secret import Secret
from netchain.vpn.wireguard import WireGuard

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PROXY = QubeName("sys-proxyvm")


@contextmanager
def site_of(backend: FakeBackend, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Without taps: no packet socket can be had of a wire in memory."""
    vpn = chain[PROXY].vpn
    assert vpn is not None and vpn.settings is not None
    monkeypatch.setattr(Sensor, "arm", lambda *_: None)
    vpns = {PROXY: WireGuard(vpn.settings, Secret(KEY), KEY)}
    with Sensor(backend) as sensor:
        yield Site(backend, sensor, vpns)
    for name in backend.observe(chain).qubes:
        backend.remove(chain, name)  # closes its wires

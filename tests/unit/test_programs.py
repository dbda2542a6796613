"""Programs of a role are started and say nothing of a secret when that fails.

Not covered: the real programs (tests/lab), and services' setups (tests/lab/test_keeper.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sites import KEY, PROXY, site_of

from netchain import programs
from netchain.backends.base import Completed, Tunnel
from netchain.backends.fake import FakeBackend
from netchain.errors import NetchainError
from netchain.model.chain import Chain
from netchain.model.names import QubeName


class KernelWireGuard(FakeBackend):
    """Its kernel speaks WireGuard itself."""

    def add_tunnel(self, chain: Chain, qube: QubeName, tunnel: Tunnel) -> bool:
        super().add_tunnel(chain, qube, tunnel)
        return True


def quotes(_: Sequence[str], stdin: bytes) -> Completed:
    """A wg(8) that shows the line that it does not like."""
    return Completed(1, stdin, b"Line unrecognized: " + stdin)


def test_words_that_may_quote_the_key_are_not_told(
    shipped: Callable[[str], Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, backend, said = shipped("vpn-only"), KernelWireGuard({"wg": quotes}), list[str]()
    with site_of(backend, chain, monkeypatch) as site:
        site.say = said.append
        backend.create(chain, PROXY)
        with pytest.raises(NetchainError, match="wg refused the configuration") as raised:
            programs.start(chain, site, chain[PROXY])
    assert KEY not in f"{raised.value} {raised.value.problems} {said}"

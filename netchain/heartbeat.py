"""How far the programs of a chain are, asked again and again at little cost: for `watch`.

No circuit is built for it, as `readiness` does: a tor whose network is gone may go on with "100 %".
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from netchain.backends.base import Backend
from netchain.errors import NetchainError
from netchain.model.chain import Chain, Qube, Role
from netchain.model.names import QubeName
from netchain.tor import torrc
from netchain.vpn import wireguard

if TYPE_CHECKING:
    from netchain.tor.control import Tor

_ASK_S = 5.0
Beat = tuple[int, str]
"""Percent, 100 when it is ready, and words that stay the same while nothing happens."""


class Heartbeat:
    """The VPNs and Tors of one chain; a control connection to each tor is kept."""

    def __init__(self, chain: Chain, backend: Backend) -> None:
        self._chain, self._backend = chain, backend
        self._tors: dict[QubeName, Tor] = {}
        self._beats: dict[QubeName, Beat] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._tors):
            self._forget(name)

    def of(self, qube: Qube) -> Beat:
        """As it was when it was last felt."""
        return self._beats.get(qube.name, (0, "not asked yet"))

    def feel(self) -> bool:
        """Ask every program; whether one says something else than before."""
        before = self._beats
        asked = {Role.VPN_PROXY: self._vpn, Role.TOR_GATEWAY: self._tor}
        self._beats = {q.name: asked[q.role](q) for q in self._chain.qubes if q.role in asked}
        return self._beats != before

    def _vpn(self, qube: Qube) -> Beat:
        """A handshake that is too old is none: the session that it made is dead."""
        command = wireguard.handshake_command()
        try:
            done = self._backend.execute(self._chain, qube.name, command, timeout=_ASK_S)
        except NetchainError:
            return 0, "its VPN cannot be asked"
        seen = wireguard.last_handshake(done.stdout) if done.status == 0 else 0
        if not seen:
            return 0, "no handshake"
        when = time.strftime("%H:%M:%S", time.localtime(seen))
        if time.time() - seen > wireguard.SESSION_S:
            return 0, f"the last handshake was at {when}: too long ago"
        return 100, f"handshake at {when}"

    def _tor(self, qube: Qube) -> Beat:
        from netchain.tor.control import Tor  # stem takes 90 ms to import; only this needs it

        try:
            if qube.name not in self._tors:
                path = torrc.control_socket(self._backend.volume() / "tor")
                connection = self._backend.connect(self._chain, qube.name, path)
                self._tors[qube.name] = Tor(connection)
            state = self._tors[qube.name].bootstrap()
        except NetchainError:
            self._forget(qube.name)
            return 0, "tor does not answer"
        return state.percent, f"tor {state.percent} % {state.summary}"

    def _forget(self, name: QubeName) -> None:
        if name in self._tors:
            with suppress(OSError):
                self._tors.pop(name).__exit__(None, None, None)

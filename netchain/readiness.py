"""Waits until a qube's services are ready, saying what it waits for.

Ready is what the other side confirms: a WireGuard handshake, a circuit of a Tor at 100 %. A bounded
poll each 50 ms, since neither program tells of a change by itself in a form that is the same
everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netchain.backends.base import Backend, User
from netchain.errors import Exit, NetchainError, Problem
from netchain.model.chain import Chain, Qube, Role
from netchain.tor import torrc
from netchain.vpn import wireguard

_POLL_S = 0.05
_ASK_S = 5.0
_CIRCUIT_S = 10.0  # in the lab 0.02 to 0.08 s, over the real Tor seconds
_WORDS_S = 0.5  # a tor that ends again and again has said nothing yet at each start


def wait_ready(
    chain: Chain, backend: Backend, qube: Qube, timeout: float, say: Callable[[str], None]
) -> None:
    """Return once the qube is ready; NetchainError (exit 3) after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    last = ""
    while True:
        percent, words = progress(chain, backend, qube)
        if words != last:
            say(f"  {qube.name}: {words}")
            last = words
        if percent >= 100:
            return
        if time.monotonic() > deadline:
            raise _late(chain, backend, qube, timeout, last)
        time.sleep(_POLL_S)


def _late(chain: Chain, backend: Backend, qube: Qube, timeout: float, last: str) -> NetchainError:
    """The error that says what the qube's own program has to say about it."""
    words = _vpn_words if qube.role is Role.VPN_PROXY else _tor_words
    try:
        hint = words(chain, backend, qube)
    except NetchainError as error:  # it must not hide what is being told
        hint = f"its program could not be asked why ({error})"
    title = f"{qube.name} is not ready after {timeout:g} s ({last})"
    return NetchainError(Problem("E061", title, help=hint), Exit.NOT_READY)


def _vpn_words(chain: Chain, backend: Backend, qube: Qube) -> str:
    done = backend.execute(chain, qube.name, wireguard.transfer_command(), timeout=_ASK_S)
    if done.status:
        return f"wg says: {done.stderr.decode(errors='replace').strip()[-200:]}"
    came, went = wireguard.transferred(done.stdout)
    if not went:
        return "WireGuard has sent nothing: does its program run? (netchain status)"
    return (
        f"{went} bytes went to the VPN server, {came} came back: "
        "another server, or is UDP blocked here?"
    )


def _tor_words(chain: Chain, backend: Backend, qube: Qube) -> str:
    """Asked as tor's own user: what tor may not read is nothing that it wrote."""
    command = torrc.words_command(backend.volume() / "tor")
    deadline = time.monotonic() + _WORDS_S
    while True:
        done = backend.execute(chain, qube.name, command, timeout=_ASK_S, user=User.TOR)
        words = torrc.last_words(done.stdout.decode(errors="replace"))
        if words or time.monotonic() > deadline:
            return f"tor says: {words}" if words else "tor has no complaint: is the VPN up?"
        time.sleep(_POLL_S)


def progress(chain: Chain, backend: Backend, qube: Qube) -> tuple[int, str]:
    """How far a VPN qube or a Tor gateway is: percent, 100 when it is ready, and words."""
    ask = _vpn_progress if qube.role is Role.VPN_PROXY else _tor_progress
    return ask(chain, backend, qube)


def _vpn_progress(chain: Chain, backend: Backend, qube: Qube) -> tuple[int, str]:
    """A handshake that is too old is none: the session that it made is dead."""
    done = backend.execute(chain, qube.name, wireguard.handshake_command(), timeout=10)
    seen = wireguard.last_handshake(done.stdout) if done.status == 0 else 0
    age = max(0, int(time.time()) - seen)
    if seen and age <= wireguard.SESSION_S:
        return 100, f"handshake {age} s ago"
    assert qube.vpn is not None and qube.vpn.settings is not None
    endpoint = qube.vpn.settings.endpoint
    return 0, f"waiting for a handshake with {endpoint.address}:{endpoint.port}"


def _tor_progress(chain: Chain, backend: Backend, qube: Qube) -> tuple[int, str]:
    """Tor's bootstrap percent and phase, 100 only when a circuit is built; 0 while it does not
    answer yet."""
    from netchain.tor.control import Tor  # stem takes 90 ms to import; only this needs it

    try:
        path = torrc.control_socket(backend.volume() / "tor")
        with Tor(backend.connect(chain, qube.name, path)) as tor:
            state = tor.bootstrap()
            if state.percent >= 100 and not tor.builds_a_circuit(_CIRCUIT_S):
                return 99, f"tor 100 %, but no circuit is built in {_CIRCUIT_S:g} s"
    except NetchainError:
        return 0, "waiting for tor to start"
    return state.percent, f"tor {state.percent} % {state.summary}"

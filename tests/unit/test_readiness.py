"""What a qube that is not ready in time says of why, with the programs' words given.

Not covered: the words of the real tor and wg (tests/lab/test_trouble.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from netchain.backends.base import Completed
from netchain.backends.fake import FakeBackend
from netchain.errors import Exit, NetchainError
from netchain.model.chain import Chain
from netchain.model.names import QubeName
from netchain.readiness import progress, wait_ready
from netchain.tor.torrc import last_words
from netchain.vpn.wireguard import SESSION_S, transferred

VPN, TOR = QubeName("sys-proxyvm"), QubeName("sys-whonix")
BOUND = """Nov 24 08:07:04.77 [warn] Could not bind to 10.137.0.13:9050: Address already in use.
Nov 24 08:07:04.77 [warn] Failed to parse/validate config: Failed to bind one of the listener ports.
Nov 24 08:07:04.77 [err] Reading config failed--see warnings above.
"""
OLD = """Nov 23 01:00:00.000 [notice] Tor 0.4.9.11 opening log file.
Nov 23 01:00:01.000 [warn] Your clock is wrong.
"""
NEW = """Nov 24 08:00:00.000 [notice] Tor 0.4.9.11 opening log file.
Nov 24 08:00:01.000 [notice] Bootstrapped 5% (conn): Connecting to a relay
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", ""),
        ("no log at all\n", ""),
        (NEW, ""),
        (OLD + NEW, ""),  # what was wrong yesterday is not what is wrong now
        (NEW + OLD, "Your clock is wrong."),
        (
            OLD + NEW + BOUND,
            "Could not bind to 10.137.0.13:9050: Address already in use. / "
            "Failed to parse/validate config: Failed to bind one of the listener ports.",
        ),
        ("Nov 24 08:00:00.000 [warn] a\x1b[2Jb\n", "a[2Jb"),
        ("Nov 24 08:00:00.000 [warn] " + "x" * 9999, "x" * 400),
        ("cut off in the midd [warn] a\nNov 24 08:00:00.000 [err] b\n", "a / b"),
    ],
)
def test_tors_last_words(output: str, words: str) -> None:
    assert last_words(output) == words


def test_what_wg_counted() -> None:
    assert transferred(b"key1\t92\t148\nkey2\t8\t2\n") == (100, 150)
    assert transferred(b"") == (0, 0)


def late(
    shipped: Callable[[str], Chain], name: QubeName, answers: dict[str, Completed]
) -> tuple[str, str]:
    """Title and help of the error; programs are found by their first and third words."""

    def program(argv: Sequence[str], _: bytes) -> Completed:
        return answers.get(argv[-1], Completed(1, b"", b"no such device\n"))

    chain = shipped("vpn-before-tor")
    backend = FakeBackend({"wg": program, "tail": lambda *_: answers["tail"]})
    backend.create(chain, name)
    with pytest.raises(NetchainError) as caught:
        wait_ready(chain, backend, chain[name], 0, lambda _: None)
    assert caught.value.exit_code is Exit.NOT_READY
    return caught.value.problems[0].title, caught.value.problems[0].help


@pytest.mark.parametrize(
    ("transfer", "said"),
    [
        (Completed(0, b"key\t0\t592\n", b""), "592 bytes went to the VPN server, 0 came back"),
        (Completed(0, b"key\t0\t0\n", b""), "WireGuard has sent nothing"),
        (Completed(1, b"", b"Unable to access interface\n"), "wg says: Unable to access interface"),
    ],
)
def test_a_vpn_that_is_late(
    shipped: Callable[[str], Chain], transfer: Completed, said: str
) -> None:
    title, hint = late(shipped, VPN, {"transfer": transfer})
    assert title.startswith("sys-proxyvm is not ready after 0 s (waiting for a handshake with")
    assert hint.startswith(said)


@pytest.mark.parametrize(
    ("tail", "said"),
    [(BOUND, "tor says: Could not bind to"), (NEW, "tor has no complaint"), ("", "tor has no")],
)
def test_a_tor_that_is_late(shipped: Callable[[str], Chain], tail: str, said: str) -> None:
    title, hint = late(shipped, TOR, {"tail": Completed(0, tail.encode(), b"")})
    assert title == "sys-whonix is not ready after 0 s (waiting for tor to start)"
    assert hint.startswith(said)


@pytest.mark.parametrize(
    ("age", "percent"), [(0, 100), (SESSION_S - 60, 100), (SESSION_S + 60, 0), (None, 0)]
)
def test_a_vpn_is_ready_while_the_session_of_its_handshake_lives(
    shipped: Callable[[str], Chain], age: int | None, percent: int
) -> None:
    seen = 0 if age is None else int(time.time()) - age
    done = Completed(0, f"key\t{seen}\n".encode(), b"")
    backend, chain = FakeBackend({"wg": lambda *_: done}), shipped("vpn-only")
    backend.create(chain, VPN)
    assert progress(chain, backend, chain[VPN])[0] == percent

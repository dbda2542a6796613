"""Every trouble of a VPN configuration: all of it at once, and no key in any word of it.

Not covered: whether wg(8) takes what `setconf` makes (tests/lab/test_demo.py brings tunnels up).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netchain.console import render
from netchain.errors import Exit, NetchainError, Problem
from netchain.vpn import wireguard

# Not keys of anybody: 32 times the same byte.
PRIVATE = base64.b64encode(b"\1" * 32).decode()
PUBLIC = base64.b64encode(b"\2" * 32).decode()
GOOD = f"""type = "wireguard"
private_key_file = "key"
public_key = "{PUBLIC}"
endpoint = "198.18.7.1:51820"
addresses = ["10.64.0.2/32", "fd00:64::2"]
dns = ["10.64.0.1"]
mtu = 1380
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A good configuration with its key beside it."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(f"{PRIVATE}\n")
    path = tmp_path / "vpn.toml"
    path.write_text(GOOD)
    return path


def trouble(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(NetchainError) as caught:
        wireguard.load(path)
    assert caught.value.exit_code is Exit.USAGE
    words = str(caught.value) + "".join(render(p) for p in caught.value.problems)
    assert PRIVATE.rstrip("=") not in words
    assert all(p.where.startswith(str(path)) for p in caught.value.problems)
    return caught.value.problems


def test_a_good_one_becomes_what_wg_reads(config: Path, golden: Callable[[str, str], None]) -> None:
    loaded = wireguard.load(config)
    golden("vpn/setconf-ipv4", loaded.setconf().decode())
    assert loaded.settings.mtu == 1380 and [str(a) for a in loaded.settings.dns] == ["10.64.0.1"]
    assert [str(a) for a in loaded.tunnel().addresses] == ["10.64.0.2", "fd00:64::2"]
    assert PRIVATE not in f"{loaded!r} {loaded}"
    config.write_text(GOOD.replace("198.18.7.1:51820", "[2001:db8:7::1]:443"))
    golden("vpn/setconf-ipv6", wireguard.load(config).setconf().decode())


def test_what_may_be_left_out(config: Path) -> None:
    config.write_text(GOOD.replace('dns = ["10.64.0.1"]\nmtu = 1380\n', ""))
    loaded = wireguard.load(config).settings
    assert (loaded.dns, loaded.mtu) == ((), 1420)


ENDPOINTS = [
    "europe3.vpn.example:1637", "localhost:51820", "198.18.7.1", "198.18.7.1:", ":51820",
    "198.18.7.1:0", "198.18.7.1:65536", "198.18.7.1:-1", "198.18.7.1:+5", "198.18.7.1: 51820",
    "198.18.7.1:51820 ", "198.18.7.1:51820\\n", "198.18.7.1:9999999999999", "999.0.0.2:51820",
    "198.18.7.1:٥١٨٢٠", "198.18.7.1:wg", "0x7f.1:51820", "198.18.7:51820", "198.018.7.1:51820",
    "2001:db8:7::1:51820", "[2001:db8:7::1:51820", "[2001:db8:7::1]", "[198.18.7.1]:51820",
    "[[2001:db8::1]]:51820", "[fe80::1%eth0]:51820", "[2001:db8::1%x; reboot]:51820",
    "[::ffff:198.18.7.1]:51820", "[::]:51820", "[ff02::1]:51820", "[::1]:51820",
    "224.0.0.1:51820", "0.0.0.0:51820", "127.0.0.1:51820", "255.255.255.255:51820",
    "169.254.1.1:51820", "",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_bad_endpoints(config: Path, endpoint: str) -> None:
    config.write_text(GOOD.replace("198.18.7.1:51820", endpoint))
    (problem,) = trouble(config)
    assert (problem.code, problem.where) == ("E043", f"{config}: endpoint")
    assert "never a host name" in problem.accepted


@pytest.mark.parametrize("endpoint", ["1.2.3.4:1", "10.0.0.1:65535", "[2a03:1b20::1]:53"])
def test_good_endpoints(config: Path, endpoint: str) -> None:
    config.write_text(GOOD.replace("198.18.7.1:51820", endpoint))
    assert str(wireguard.load(config).settings.endpoint.port) == endpoint.rpartition(":")[2]


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ('["10.64.0.2/32", "fd00:64::2"]', "[]", "addresses", "E043"),
        ('["10.64.0.2/32", "fd00:64::2"]', '"10.64.0.2"', "addresses", "E043"),
        ('addresses = ["10.64.0.2/32", "fd00:64::2"]\n', "", "addresses", "E043"),
        ("10.64.0.2/32", "10.64.0.256", "addresses", "E043"),
        ("10.64.0.2/32", "10.64.0.2/33", "addresses", "E043"),
        ("10.64.0.2/32", "vpn.example", "addresses", "E043"),
        ("10.64.0.2/32", "0.0.0.0/0", "addresses", "E043"),
        ("10.64.0.2/32", "224.0.0.1", "addresses", "E043"),
        ("10.64.0.2/32", "fd00:64::2", "addresses", "E043"),
        ("fd00:64::2", "fe80::2%wg0", "addresses", "E043"),
        ('"fd00:64::2"', "7", "addresses", "E043"),
        ('"fd00:64::2"', "true", "addresses", "E043"),
        ('"10.64.0.1"', '"10.64.0.1/24"', "dns", "E043"),
        ('"10.64.0.1"', '"127.0.0.1"', "dns", "E043"),
        ('["10.64.0.1"]', "{}", "dns", "E043"),
        ("1380", "1279", "mtu", "E042"),
        ("1380", "9001", "mtu", "E042"),
        ("1380", "true", "mtu", "E042"),
        ("1380", "1420.0", "mtu", "E042"),
        ("1380", '"1420"', "mtu", "E042"),
        ("1380", "inf", "mtu", "E042"),
        ('"wireguard"', '"openvpn"', "type", "E040"),
        ('"wireguard"', "[]", "type", "E040"),
        ('type = "wireguard"', "", "type", "E040"),
        (PUBLIC, PUBLIC[:-1], "public_key", "E041"),
        (PUBLIC, PUBLIC + "=", "public_key", "E041"),
        (PUBLIC, "?" + PUBLIC[1:], "public_key", "E041"),
        (PUBLIC, base64.b64encode(b"\2" * 31).decode(), "public_key", "E041"),
        (f'"{PUBLIC}"', "44", "public_key", "E041"),
        (f'public_key = "{PUBLIC}"', "", "public_key", "E041"),
        ('"key"', '""', "private_key_file", "E041"),
        ('"key"', "7", "private_key_file", "E041"),
        ('private_key_file = "key"', "", "private_key_file", "E041"),
        ('"key"', f'"{PRIVATE}"', "private_key_file", "E041"),
        ('"key"', f'"{PRIVATE[:-2]}"', "private_key_file", "E041"),
        ('"key"', '"no\\u0000where"', "private_key_file", "E041"),
        ("mtu", "private_key", "private_key", "E012"),
    ],
)
def test_trouble(config: Path, old: str, new: str, where: str, code: str) -> None:
    assert old in GOOD
    config.write_text(GOOD.replace(old, new, 1))
    (problem,) = trouble(config)
    assert (problem.where, problem.code) == (f"{config}: {where}", code)
    assert problem.accepted


def test_an_unknown_key_gets_a_hint(config: Path) -> None:
    config.write_text(f'{GOOD}EndPoint = 1\naddress = []\n"\\u001b[2J" = 1\n')
    hints = {p.where.removeprefix(f"{config}: "): p.help for p in trouble(config)}
    assert hints["EndPoint"] == "did you mean endpoint?"
    assert hints["address"] == "did you mean addresses?"
    assert hints["\\x1b[2J"] == "", "nothing that a terminal would obey"


def test_all_of_it_at_once(config: Path) -> None:
    config.write_text(
        'kind = 1\ntype = "x"\nprivate_key_file = "nowhere"\npublic_key = "y"\nendpoint = "z"\n'
        'addresses = ["a", "b"]\ndns = ["c"]\nmtu = 1\n'
    )
    keys = [p.where.removeprefix(f"{config}: ") for p in trouble(config)]
    assert sorted(set(keys)) == sorted(
        ["kind", "type", "private_key_file", "public_key", "endpoint", "addresses", "dns", "mtu"]
    )
    assert keys.count("addresses") == 2


def key_is(config: Path, make: Callable[[Path], object]) -> Problem:
    key = config.with_name("key")
    key.unlink()
    make(key)
    (problem,) = trouble(config)
    assert problem.code == "E041"
    return problem


def outside(path: Path) -> None:
    """A good key, but not one that this configuration was given."""
    other = path.parent.with_name(f"{path.parent.name}-outside")
    other.touch(mode=0o600)
    other.write_text(PRIVATE)
    path.symlink_to(other)


def long(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(b"A" * (2 << 20))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda key: None, "cannot read the key file: No such file"),  # noqa: ARG005
        (Path.mkdir, "cannot read the key file: this is a directory"),
        (os.mkfifo, "cannot read the key file: this is a named pipe"),
        (lambda key: key.symlink_to(key), "cannot read the key file"),
        (lambda key: key.write_bytes(b"\xff" + b"=" * 43), "cannot read the key file: this is not"),
        (long, "cannot read the key file: longer than"),
        (outside, "the key file is not in the directory of its configuration"),
        (lambda key: key.symlink_to("/dev/zero"), "the key file is not in the directory"),
    ],
)
def test_key_files_that_are_refused(
    config: Path, make: Callable[[Path], object], said: str
) -> None:
    assert key_is(config, make).title.startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "", PRIVATE[:-1], PRIVATE[1:], f"{PRIVATE} {PRIVATE}", "=" * 44, PRIVATE + "A",
        PRIVATE[:-2] + "F=",  # the same 32 bytes, but with a bit set that is not used
    ],
)  # fmt: skip
def test_what_is_no_key_is_told_by_its_length_only(config: Path, text: str) -> None:
    config.with_name("key").write_text(text)
    (problem,) = trouble(config)
    assert problem.value == f"(hidden, {len(text)} characters)"


def test_a_key_that_others_can_read(config: Path) -> None:
    config.with_name("key").chmod(0o644)
    (problem,) = trouble(config)
    assert (problem.title, problem.value) == ("others can read the key", "0644")
    config.with_name("key").chmod(0o400)
    wireguard.load(config)


def test_a_link_beside_the_configuration_is_followed(config: Path) -> None:
    config.with_name("key").rename(config.with_name("real"))
    config.with_name("key").symlink_to("real")
    wireguard.load(config)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[Interface]\nPrivateKey = " + PRIVATE.encode(), "not TOML (at line 2, column 14)"),
        (b'a = {"' + PRIVATE.encode() + b'" = 1, "' + PRIVATE.encode() + b'" = 2}', "not TOML"),
        (b"a = " + b"[" * 5000, "not TOML"),
        (b"a = 1" + b"0" * 5000, "not TOML"),
        (b"\xff\xfe", "this is not text"),
        (b"#" * (2 << 20), "longer than"),
    ],
)
def test_a_file_that_is_no_toml(config: Path, content: bytes, said: str) -> None:
    config.write_bytes(content)
    (problem,) = trouble(config)
    assert problem.code == "E040" and said in problem.title


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_configuration_that_is_no_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "vpn.toml")
    (problem,) = trouble(tmp_path / "vpn.toml")
    assert problem.code == "E040" and "not a file" in problem.title


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    (problem,) = trouble(tmp_path / "nowhere.toml")
    assert problem.title == "cannot read the VPN configuration: No such file or directory"


def test_a_configuration_that_may_not_be_read(config: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    config.chmod(0)
    (problem,) = trouble(config)
    assert "Permission denied" in problem.title


KEYS = st.binary(min_size=32, max_size=32).map(lambda data: base64.b64encode(data).decode())
LINES = GOOD.splitlines()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data(), key=KEYS, cut=st.integers(0, 12), line=st.integers(0, len(LINES) - 1))
def test_no_key_is_ever_quoted_wherever_it_was_put(
    config: Path, data: st.DataObject, key: str, cut: int, line: int
) -> None:
    """A key, or most of one, in the place of any value, of a name, or in the key's file."""
    text = key[: len(key) - cut]
    name = LINES[line].partition(" ")[0]
    broken = data.draw(
        st.sampled_from([f'{name} = "{text}"', f'{name} = ["{text}"]', f'{name} = "{text}:1"',
                         f'{name} = {{ a = "{text}" }}', f'"{text}" = 1', f"{name} = {text}",
                         f'{name} = "{text[:22]} {text[22:]}"', f'{name} = "x/{text}"'])
    )  # fmt: skip
    config.write_text("\n".join([*LINES[:line], broken, *LINES[line + 1 :]]))
    config.with_name("key").write_text(f"{text}\n")
    try:
        wireguard.load(config)
    except NetchainError as error:
        words = str(error) + repr(error) + "".join(render(p) for p in error.problems)
        assert text not in words and text[:22] not in words and text[22:] not in words

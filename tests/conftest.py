"""What many tests share: the shipped profiles, resolved as in the lab, and golden files."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import settings

from netchain.model import nested, profile
from netchain.model.chain import Chain, Endpoint, Role, VpnSettings, Wan
from netchain.resources import data_dir

settings.register_profile("netchain", deadline=None)  # a busy machine is late now and then
settings.load_profile("netchain")
PROVIDER_A = VpnSettings(
    "wireguard",
    Endpoint(ip_address("198.18.7.1"), 51820),
    (ip_address("10.64.0.2"), ip_address("fd00:64::2")),
    (ip_address("10.64.0.1"),),
)
PROVIDER_B = VpnSettings(
    "wireguard",
    Endpoint(ip_address("198.19.8.1"), 51820),
    (ip_address("10.65.0.2"), ip_address("fd00:65::2")),
    (ip_address("10.65.0.1"),),
)
WAN = Wan(
    "isp0",
    ip_address("100.64.0.2"),
    ip_address("100.64.0.1"),
    ip_address("2001:db8:a::2"),
    ip_address("2001:db8:a::1"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="write the golden files anew")


@pytest.fixture(scope="session")
def resolve() -> Callable[[Chain], Chain]:
    """Gives a chain the VPN and the uplink that it has in the lab."""

    def resolved(chain: Chain) -> Chain:
        vpns = {
            qube.name: PROVIDER_B if qube.vpn and "provider-b" in qube.vpn.config else PROVIDER_A
            for qube in chain.with_role(Role.VPN_PROXY)
        }
        return chain.resolved(nested.fitted(chain, vpns), WAN)

    return resolved


@pytest.fixture(scope="session")
def shipped(resolve: Callable[[Chain], Chain]) -> Callable[[str], Chain]:
    """The chain of a shipped profile, by its name."""

    def read(name: str) -> Chain:
        path = data_dir() / "profiles" / f"{name}.toml"
        return resolve(profile.parse(path.read_text(encoding="utf-8"), path.name))

    return read


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with tests/golden/<name>; with --golden-update it becomes that file."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--golden-update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{name}: --golden-update takes it over"

    return compare

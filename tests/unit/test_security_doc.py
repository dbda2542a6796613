"""docs/security.md says what `allowed()` says."""

from __future__ import annotations

import pytest
from chains import PROFILES, ROOT, chain

from netchain.model.security import render


def test_security_page_is_true(request: pytest.FixtureRequest) -> None:
    page = ROOT / "docs" / "security.md"
    text = render(chain(name) for name in PROFILES)
    if request.config.getoption("--golden-update"):
        page.write_text(text)
    assert page.read_text() == text

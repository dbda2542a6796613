"""nft's Python binding is found outside the virtual environment, or its lack is explained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netchain.errors import Exit, NetchainError
from netchain.nft.library import load_library


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "nftables"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_systems_binding_makes_contexts() -> None:
    module = load_library()
    assert hasattr(module.Nftables(), "json_validate"), "a copy from PyPI lacks it"
    assert load_library() is module


def test_an_installed_copy_is_taken_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nftables.py").write_text("class Nftables: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_library(tmp_path / "none").__file__ == str(tmp_path / "nftables.py")


@pytest.mark.parametrize("content", ["class Nftables:\n def __init__(s): raise OSError('no .so')",
                                     "pass", "import no_such_thing"])  # fmt: skip
def test_a_binding_that_does_not_work_is_missing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "nftables" / "__init__.py"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(NetchainError, match="cannot be used") as caught:
        load_library(path)
    assert caught.value.exit_code is Exit.MISSING
    assert "nftables" not in sys.modules


def test_without_any_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(NetchainError) as caught:
        load_library(tmp_path / "none")
    assert "python3-nftables" in caught.value.problems[0].help

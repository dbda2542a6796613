"""Finds nft's own Python binding, which is not on PyPI in a form that serves.

Debian's python3-nftables lies outside any virtual environment, but is plain Python over
libnftables.so (ctypes) and works in every one; copies on PyPI (pip-nftables, oxl-libnftables) lack
dry run and schema, but load and list rules, and are taken when the system has none.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from netchain.errors import missing

_NAME = "nftables"
_SYSTEM = Path("/usr/lib/python3/dist-packages/nftables/__init__.py")
_HELP = "apt install python3-nftables (Fedora: dnf install python3-nftables)"


def load_library(system: Path = _SYSTEM) -> ModuleType:
    """The `nftables` module, ready to make contexts of. NetchainError (E033) without one.

    A context belongs to the network namespace in which it was made, for ever.
    """
    module = sys.modules.get(_NAME)
    try:
        if module is None:
            module = _from_file(system) if system.is_file() else importlib.import_module(_NAME)
        module.Nftables()  # opens libnftables.so
    except (ImportError, OSError, AttributeError) as error:
        sys.modules.pop(_NAME, None)
        raise missing("E033", f"nft's Python library cannot be used: {error}", _HELP) from error
    return module


def _from_file(path: Path) -> ModuleType:
    """The package at that path, under its own name (it imports its parts by that)."""
    folder = [str(path.parent)]
    spec = importlib.util.spec_from_file_location(_NAME, path, submodule_search_locations=folder)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module

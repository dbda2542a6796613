"""Every test of this directory runs in namespaces of its own: see sandbox.py."""

from __future__ import annotations

import pytest
import sandbox


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run the test's function in a sandbox instead of in this process."""
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    sandbox.run(lambda: pyfuncitem.obj(**arguments))
    return True

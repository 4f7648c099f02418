"""Machine code goes to a folder of the test's own, unless the developer keeps one."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_code(tmp_path_factory):
    os.environ.setdefault("FATHOM_HOME", str(tmp_path_factory.mktemp("home")))

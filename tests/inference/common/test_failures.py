"""What exceptions mean."""

import errno
import importlib
import importlib.machinery
import os
import sys

import cv2
import pytest

from inference.common.failures import explain, is_out_of_memory
from inference.contract import exit_codes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (cv2.error("Insufficient memory: failed to allocate 9 bytes"), True),
        (cv2.error("Assertion failed"), False),
        (type("OutOfMemoryError", (RuntimeError,), {})("a quota"), False),
    ],
)
def test_memory_that_ran_out(error, expected):
    assert is_out_of_memory(error) == expected
    assert ("out of memory" in explain(error).what) == expected
    assert explain(error).code == exit_codes.FAILED


def test_memory_of_a_gpu_that_ran_out():
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))


@pytest.fixture
def packages_of_others(tmp_path, monkeypatch):
    """A folder for packages of the test's own, which Python finds."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failed_import(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        return explain(error)
    raise AssertionError(f"{name} was imported")


def test_a_package_whose_library_cannot_be_loaded_is_installed(packages_of_others):
    (packages_of_others / "plumb").mkdir()
    (packages_of_others / "plumb" / "__init__.py").write_text("from plumb._C import level\n")
    (packages_of_others / "plumb" / f"_C{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"")
    told = failed_import("plumb")
    assert told.code == exit_codes.MISSING
    assert told.what.startswith("The package plumb is installed but cannot be loaded (")


def test_a_package_that_says_itself_why_it_cannot_be_loaded_is_installed(packages_of_others):
    (packages_of_others / "plumb.py").write_text("raise ImportError('A dynamic link library (DLL) failed.')\n")
    assert failed_import("plumb").what == (
        "The package plumb is installed but cannot be loaded (A dynamic link library (DLL) failed)."
    )


def test_a_package_that_is_not_there_is_not_installed(packages_of_others):
    (packages_of_others / "plumb.py").write_text("import no_such_library\n")
    assert failed_import("plumb").what.startswith("The package no_such_library is not installed in ")


def test_a_file_that_may_not_be_read_is_said_without_a_traceback():
    event = explain(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/shots/\x1b[2Jtruth"))
    assert event.code == exit_codes.USAGE and "/shots/\\u001b[2Jtruth cannot be read" in event.what

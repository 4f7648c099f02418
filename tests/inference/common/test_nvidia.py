"""NVIDIA GPUs and torch's build, told without importing torch."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

from inference.common import devices
from inference.contract import packages


def driver(*, init=0, count=2):
    """A driver that answers as CUDA's does."""

    def tell(pointer):
        pointer._obj.value = count
        return 0

    return lambda name: SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=tell)


def absent(name):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("library", "gpus"),
    [
        (driver(), 2),
        (driver(count=0), 0),
        (driver(init=100), 0),  # CUDA_ERROR_NO_DEVICE
        (absent, 0),
        (lambda name: object(), 0),
    ],
    ids=["two GPUs", "none", "no device", "no driver", "no such library"],
)
def test_the_driver_is_asked(monkeypatch, library, gpus):
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert devices.nvidia_gpus() == gpus


@pytest.fixture
def torch(tmp_path, monkeypatch):
    """A torch that only says how it was built."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('torch was imported')")

    def built(note):
        if note is not None:
            (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.13.0'\n{note}\n")

    return built


@pytest.mark.parametrize(
    ("note", "has"),
    [
        ("cuda: Optional[str] = None", False),
        ("cuda = None\nhip = None", False),
        ("cuda: Optional[str] = '13.0'", True),
        ("git_version = 'abc'", True),
        (None, True),
    ],
)
def test_how_torch_was_built_is_read_and_not_imported(torch, note, has):
    torch(note)
    assert devices.torch_has_cuda() is has
    assert "torch" not in sys.modules


def test_without_torch_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr(packages, "importable", lambda module: False)
    assert devices.torch_has_cuda() is False
    assert devices.unused_gpu() is None


@pytest.mark.parametrize(
    ("gpus", "note", "is_unused"),
    [(1, "cuda = None", True), (1, "cuda = '13.0'", False), (0, "cuda = None", False)],
)
def test_a_card_that_torch_was_not_built_for_is_told_with_the_line_to_run(monkeypatch, torch, gpus, note, is_unused):
    torch(note)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: gpus)
    told = devices.unused_gpu()
    assert (told is not None) is is_unused
    if told:
        assert "NVIDIA GPU" in told[0] and "without CUDA" in told[0]
        wanted = packages.locked_on_top()["torch"]
        assert f"{sys.executable} -m pip install --force-reinstall torch=={wanted} --index-url " in told[1]


@pytest.mark.parametrize(("platform", "option"), [("win32", True), ("linux", False)])
def test_what_the_cuda_build_brings_itself_is_not_installed_again(monkeypatch, platform, option):
    monkeypatch.setattr(sys, "platform", platform)
    assert ("--no-deps" in devices.cuda_hint()) is option

"""What the doctor says of the full set and of the device that torch finds."""

import re
import subprocess
import sys

import pytest

from inference.commands import doctor, torch_device
from inference.commands.torch_device import TorchDevice, TorchUnusable
from inference.common import devices
from inference.contract import packages


def device(monkeypatch, found, *, gpus=0, has_cuda=False):
    """The doctor's finding on a computer where torch tells what is given."""

    def ask():
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(packages, "importable", lambda module: True)
    monkeypatch.setattr(torch_device, "ask", ask)
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: gpus)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: has_cuda)
    return doctor._device()


CPU = TorchDevice(torch="2.13.0", device="cpu", name="cpu")


def test_a_card_is_told_with_its_memory(monkeypatch):
    gpu = TorchDevice(torch="2.13.0+cu130", device="cuda:0", name="H100", free=70e9, total=80e9)
    finding = device(monkeypatch, gpu, gpus=1, has_cuda=True)
    assert finding.severity == "ok" and finding.what.startswith("H100, 70.0 of 80.0 GB free; CPU")


def test_an_apple_gpu_is_told_with_what_metal_grants(monkeypatch):
    apple = TorchDevice(torch="2.13.0", device="mps", name="Apple GPU", free=20e9, total=20e9)
    assert device(monkeypatch, apple).what.startswith("Apple GPU, up to 20.0 GB of the host memory")


def test_no_gpu_is_no_fault(monkeypatch):
    finding = device(monkeypatch, CPU)
    assert finding.severity == "ok" and "torch 2.13.0 finds no GPU" in finding.what and not finding.hint


@pytest.mark.parametrize(("has_cuda", "hint"), [(False, "PyTorch's CUDA build"), (True, "Update the NVIDIA driver")])
def test_a_driver_whose_card_torch_does_not_find_is_noted_with_the_cure(monkeypatch, has_cuda, hint):
    finding = device(monkeypatch, CPU, gpus=1, has_cuda=has_cuda)
    assert finding.severity == "note" and hint in finding.hint
    assert "torch 2.13.0 finds no GPU although an NVIDIA driver is installed" in finding.what


def test_a_torch_that_does_not_load_is_noted(monkeypatch):
    finding = device(monkeypatch, TorchUnusable("OSError: libcudart.so.13: cannot open"))
    assert finding.severity == "note" and "libcudart.so.13" in finding.what and "install full" in finding.hint


def test_torch_is_asked_in_a_process_of_its_own():
    pytest.importorskip("torch")
    before = "torch" in sys.modules
    found = torch_device.ask()
    assert found.torch == packages.installed("torch") and found.name
    assert ("torch" in sys.modules) == before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; print('noise'); sys.exit('ImportError: broken')", "ImportError: broken"),
        ("import os; os._exit(3)", "exit code 3"),
        ("print('no answer')", "exit code 0"),
        ("import time; time.sleep(60)", "did not respond within 2 seconds"),
    ],
)
def test_a_process_that_fails_is_said(monkeypatch, script, words):
    run = subprocess.run
    monkeypatch.setattr(torch_device, "_LIMIT", 2.0)
    monkeypatch.setattr(torch_device.subprocess, "run", lambda command, **k: run([sys.executable, "-c", script], **k))
    with pytest.raises(TorchUnusable, match=words):
        torch_device.ask()


def finding_on_the_full_set(monkeypatch, *, hidden=(), versions=None):
    locked = {"torch": "2.13.0", "diffusers": "0.42.1", "pyyaml": "6.0.3"}
    monkeypatch.setattr(packages, "locked_on_top", lambda: locked)
    monkeypatch.setattr(packages, "importable", lambda module: module not in hidden)
    monkeypatch.setattr(packages, "installed", (locked | {"torch": "2.13.0+cpu"} | (versions or {})).get)
    return doctor._packages_on_top()


def test_the_full_set_is_told_in_one_line(monkeypatch):
    finding = finding_on_the_full_set(monkeypatch)
    assert (finding.severity, finding.what) == ("ok", "all 3 packages, among them torch 2.13.0+cpu")


@pytest.mark.parametrize(
    ("hidden", "versions", "words"),
    [
        (("torch", "diffusers", "yaml"), {}, "parallax and quick do not need it"),
        (("yaml",), {}, "missing: pyyaml"),
        ((), {"diffusers": "0.30.0"}, r"diffusers 0\.30\.0 \(0\.42\.1\)"),
    ],
)
def test_what_is_wrong_with_it_comes_with_one_command(monkeypatch, hidden, versions, words):
    finding = finding_on_the_full_set(monkeypatch, hidden=hidden, versions=versions)
    assert finding.severity == "note" and finding.hint.count("run: ") == 1
    assert re.search(words, finding.what)

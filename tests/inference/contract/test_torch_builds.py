"""Which build of PyTorch is chosen: by GPUs as nvidia-smi lists them, and never past pip's settings."""

import os
import sys

import pytest

from inference.contract import installer, torch_builds
from inference.contract.torch_builds import CPU, CUDA_12, CUDA_13, INDEX, ROCM, Gpu

OLD = torch_builds._DRIVER_12
LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux alone")


@pytest.fixture
def no_sources(monkeypatch):
    """pip's settings name no source of packages."""
    monkeypatch.delenv(installer.TORCH_INDEX, raising=False)
    monkeypatch.setattr(installer, "pip_settings", lambda _python: {"PIP_PROXY": "http://proxy"})


@LINUX_ONLY
@pytest.mark.parametrize(
    ("gpus", "build", "words"),
    [
        ([Gpu("RTX 4090", (580, 65, 6), 8.9)], CUDA_13, "CUDA 13.0, for the RTX 4090, whose driver is 580.65.6."),
        ([Gpu("RTX 4090", (570, 10), 8.9)], CUDA_12, "CUDA 12.6"),
        ([Gpu("RTX 5090", (580, 65), 12.0)], CUDA_13, "CUDA 13.0"),
        ([Gpu("RTX 5090", (572, 16), 12.0)], CPU, "needs CUDA 13 and its driver is 572.16: update it to 580"),
        ([Gpu("GTX 1080", (580, 65), 6.1)], CUDA_12, "CUDA 12.6"),
        ([Gpu("GTX 1080", (580, 65), 6.1), Gpu("RTX 4090", (580, 65), 8.9)], CUDA_12, "for the RTX 4090"),
        ([Gpu("GTX 1080", (580, 65), 6.1), Gpu("RTX 5090", (580, 65), 12.0)], CUDA_13, "for the RTX 5090"),
        ([Gpu("GTX 780", (525, 60), 3.5)], CPU, "GTX 780 is older than its oldest CUDA build"),
        ([Gpu("RTX 2080", (470, 1), 7.5)], CPU, "the driver 470.1 of the RTX 2080 is too old: update it to"),
        ([Gpu("Unknown", (580, 65))], CUDA_13, "CUDA 13.0"),
        ([], CPU, "no GPU that it could use was found"),
    ],
)
def test_the_build_fits_gpu_and_driver(gpus, build, words):
    found = torch_builds.for_gpus(gpus)
    assert found.index == INDEX + build and words in found.reason and found.reason.endswith(".")
    assert found.is_short == ("update it" in words) and 0 < found.sizes[0] < found.sizes[1]


def test_an_amd_gpu_gets_rocm_and_nvidia_comes_first():
    assert torch_builds.for_gpus([], has_amd=True).index == INDEX + ROCM
    assert torch_builds.for_gpus([Gpu("RTX", (580,), 8.9)], has_amd=True).index == INDEX + CUDA_13


@LINUX_ONLY
def test_an_amd_gpu_is_one_that_its_driver_can_compute_on(tmp_path):
    for node, version in (("0", 0), ("1", 110000)):
        (tmp_path / node).mkdir()
        (tmp_path / node / "properties").write_text(f"cpu_cores_count 8\ngfx_target_version {version}\n")
    assert torch_builds.has_amd_gpu(tmp_path)
    (tmp_path / "1" / "properties").unlink()
    assert not torch_builds.has_amd_gpu(tmp_path) and not torch_builds.has_amd_gpu(tmp_path / "none")


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('echo "580.65.06, 8.9, NVIDIA RTX 4090"', [Gpu("NVIDIA RTX 4090", (580, 65, 6), 8.9)]),
        (
            'case "$1" in *compute_cap*) exit 2;; esac\necho "470.10, Quadro, K600"',
            [Gpu("Quadro, K600", (470, 10))],
        ),
        ('echo "NVIDIA-SMI has failed because it could not talk to the driver"', []),
        ("exit 9", []),
    ],
)
def test_what_nvidia_smi_lists(tmp_path, monkeypatch, script, found):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert torch_builds.nvidia_gpus() == found


def test_pips_settings_come_first(monkeypatch):
    monkeypatch.delenv(installer.TORCH_INDEX, raising=False)
    settings = {"PIP_INDEX_URL": "https://me:secret@mirror.studio/simple"}
    monkeypatch.setattr(installer, "pip_settings", lambda _python: settings)
    monkeypatch.setattr(torch_builds, "nvidia_gpus", lambda: pytest.fail("nobody has to know"))
    build = torch_builds.choose()
    assert build.index == "" and "mirror.studio" in build.reason and "secret" not in build.reason


def test_an_index_that_is_named_comes_before_all(no_sources, monkeypatch):
    monkeypatch.setenv(installer.TORCH_INDEX, "https://wheels.studio/torch")
    assert torch_builds.choose().index == "https://wheels.studio/torch"


@LINUX_ONLY
def test_without_settings_the_gpu_decides(no_sources, monkeypatch):
    monkeypatch.setattr(torch_builds, "nvidia_gpus", lambda: [Gpu("RTX", (580, 65), 8.9)])
    assert torch_builds.choose().index == INDEX + CUDA_13
    monkeypatch.setattr(torch_builds, "nvidia_gpus", list)
    monkeypatch.setattr(torch_builds, "has_amd_gpu", lambda: False)
    monkeypatch.setenv(installer.TORCH_INDEX, torch_builds.AUTOMATIC)
    assert torch_builds.choose().index == INDEX + CPU


def test_the_versions_are_those_of_the_lock():
    from inference.contract import environment

    lock = environment.TORCH.read_text(encoding="utf-8")
    assert "torch==2.13." in lock, "look up which builds the new version has, and change INDEX's names"


def test_macos_has_one_build_for_all(no_sources, monkeypatch):
    monkeypatch.setattr(torch_builds.sys, "platform", "darwin")
    build = torch_builds.choose()
    assert build.index == "" and "Apple" in build.reason

"""Which device a job gets, with and without what this computer lacks."""

import pytest

from inference.common import devices
from inference.common.failures import Failure
from inference.contract import exit_codes, packages


@pytest.fixture
def computer(monkeypatch):
    """A computer with so many NVIDIA GPUs, and an Apple GPU or none."""

    def set_up(*, gpus=0, apple=False):
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)

    return set_up


@pytest.mark.parametrize(
    ("there", "wanted", "found", "name"),
    [
        ({}, "auto", "cpu", "cpu"),
        ({"apple": True}, "auto", "mps", "Apple GPU"),
        ({"gpus": 2}, "auto", "cuda:0", "GPU cuda:0"),
        ({"gpus": 2}, "cuda", "cuda:0", "GPU cuda:0"),
        ({"gpus": 2}, "cuda:1", "cuda:1", "GPU cuda:1"),
        ({"gpus": 2}, "cpu", "cpu", "cpu"),
        ({"apple": True}, "cpu", "cpu", "cpu"),
    ],
)
def test_a_job_gets_what_it_asks_for(computer, there, wanted, found, name):
    computer(**there)
    assert devices.find(wanted) == found
    assert devices.name(found) == name


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ({}, "cuda", "The device 'cuda' is not available: torch"),
        ({"gpus": 2}, "cuda:2", "the last of 2 NVIDIA GPUs is cuda:1"),
        ({"gpus": 1}, "mps", "no Apple GPU"),
    ],
)
def test_a_device_that_is_not_there_is_refused(computer, there, wanted, words):
    computer(**there)
    with pytest.raises(Failure, match=words) as refused:
        devices.find(wanted)
    assert refused.value.code == exit_codes.MISSING


def test_a_device_of_no_kind_is_refused():
    with pytest.raises(Failure, match="'gpu'") as refused:
        devices.find("gpu")
    assert refused.value.code == exit_codes.USAGE


def test_without_torch_there_is_the_processor(monkeypatch):
    monkeypatch.setattr(packages, "importable", lambda module: module != "torch")
    assert devices.find() == "cpu"
    with pytest.raises(Failure, match="torch is not installed"):
        devices.find("cuda")


def test_a_card_that_torch_was_not_built_for_comes_with_its_cure(computer, monkeypatch):
    computer()
    monkeypatch.setattr(devices, "unused_gpu", lambda: ("A GPU is idle.", "Install PyTorch's CUDA build."))
    with pytest.raises(Failure) as refused:
        devices.find("cuda")
    assert refused.value.hint == "Install PyTorch's CUDA build."

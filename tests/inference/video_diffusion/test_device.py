"""Which device and precision the networks get, and how much memory is counted as theirs."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

import psutil  # noqa: E402

from inference.common.failures import Failure  # noqa: E402
from inference.contract import exit_codes  # noqa: E402
from inference.video_diffusion import device as devices_  # noqa: E402

GB = 10**9


@pytest.fixture
def card(monkeypatch):
    """A computer with one NVIDIA GPU of a given compute capability."""

    def set_up(capability, *, free=10 * GB, reserved=0, allocated=0):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 12 * GB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)

    return set_up


@pytest.mark.parametrize(
    ("capability", "dtype"), [((9, 0), torch.float16), ((7, 0), torch.float16), ((6, 1), torch.float32)]
)
def test_a_card_runs_in_half_precision_where_it_is_fast(card, capability, dtype):
    card(capability)
    assert devices_.choose() == (torch.device("cuda:0"), dtype)
    assert devices_.choose("auto", "fp32")[1] == torch.float32
    assert devices_.choose("cuda", "fp16")[1] == torch.float16
    assert devices_.choose("cpu") == (torch.device("cpu"), torch.float32)


def test_a_card_without_bf16_is_named(card):
    card((7, 5))
    with pytest.raises(Failure, match=r"A GPU does not compute in bf16\. Choose another") as refused:
        devices_.choose("auto", "bf16")
    assert refused.value.code == exit_codes.MISSING
    card((8, 6))
    assert devices_.choose("auto", "bf16")[1] == torch.bfloat16


def test_apples_gpus_run_in_half_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices_.choose() == (torch.device("mps"), torch.float16)
    assert devices_.name(torch.device("mps")) == "Apple GPU"


def test_the_processor_runs_in_what_it_is_told():
    assert devices_.choose("cpu", "auto")[1] == torch.float32
    assert devices_.choose("cpu", "bf16")[1] == torch.bfloat16
    assert devices_.choose("cpu", "fp16")[1] == torch.float16


def test_what_does_not_exist_is_refused():
    with pytest.raises(Failure, match="no precision 'fp8'") as refused:
        devices_.choose("cpu", "fp8")
    assert refused.value.code == exit_codes.USAGE
    with pytest.raises(Failure, match="'tpu' is not a valid device"):
        devices_.choose("tpu")


def test_what_torch_keeps_of_a_card_is_free_for_us(card):
    card((8, 6), free=6 * GB, reserved=3 * GB, allocated=1 * GB)
    cuda = torch.device("cuda:0")
    assert devices_.free_bytes(cuda) == 8 * GB
    assert devices_.free_bytes(cuda, held=GB) == 9 * GB
    assert devices_.free_bytes(cuda, 20.0) == 8 * GB
    assert devices_.free_bytes(cuda, 4.0) == 4 * GB - devices_.CUDA_CONTEXT
    assert devices_.free_bytes(cuda, 0.1) == 0


def test_an_apple_gpu_has_what_metal_grants_and_others_leave(monkeypatch):
    mps = SimpleNamespace(
        driver_allocated_memory=lambda: 3 * GB,
        current_allocated_memory=lambda: 2 * GB,
        recommended_max_memory=lambda: 12 * GB,
    )
    monkeypatch.setattr(torch, "mps", mps)
    for available, free in ((32, 10), (4, 5), (0, 1)):
        memory = SimpleNamespace(available=available * GB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        assert devices_.free_bytes(torch.device("mps")) == free * GB
    assert devices_.free_bytes(torch.device("mps"), 0.5) == GB // 2


def test_the_processor_has_what_other_programs_leave(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5 * GB))
    cpu = torch.device("cpu")
    assert devices_.free_bytes(cpu) == 5 * GB
    assert devices_.free_bytes(cpu, 2.0, held=GB) == 2 * GB


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_allowed_or_not_for_a_while(allowed):
    def now():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = now()
    with pytest.raises(KeyboardInterrupt), devices_.tensor_float(allowed):
        assert now() == (allowed, allowed)
        raise KeyboardInterrupt
    assert now() == before

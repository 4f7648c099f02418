"""The device and the precision of the networks, and how much memory is free for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..common import devices
from ..common.failures import Failure
from ..contract import exit_codes

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
CUDA_CONTEXT = 0.6e9
"""Bytes of GPU memory that CUDA itself takes in each process: context, kernels, cuBLAS' workspace."""
_FAST_HALF = (7, 0)
"""First compute capability (Volta) with tensor cores. Before it, half precision is emulated or runs at 1/64 of single
precision's pace (CUDA C++ Programming Guide, arithmetic throughput), and cuDNN converts back and forth."""

_BFLOAT16 = (8, 0)
"""First compute capability (Ampere) that has bfloat16."""


def choose(device: str = devices.AUTO, precision: str = "auto") -> tuple[torch.device, torch.dtype]:
    """The device (see `devices.find`) and the dtype of the networks.

    ``auto`` is float16, in which the weights are released, on GPUs that are fast at it, and float32 on older GPUs and
    on the CPU. The autoencoder's encoder always runs in float32.

    Raises
    ------
    Failure
        USAGE: there is no such device or precision; MISSING: this computer has no such device, or the device does not
        compute in this precision.
    """
    found = torch.device(devices.find(device))
    if precision == "auto":
        return found, _usual(found)
    if precision not in PRECISIONS:
        raise Failure(
            exit_codes.USAGE, f"There is no precision '{precision}'.", hint=f"Choose auto, {', '.join(PRECISIONS)}."
        )
    dtype = PRECISIONS[precision]
    if dtype == torch.bfloat16 and not _knows_bfloat16(found):
        raise Failure(
            exit_codes.MISSING,
            f"{name(found)} does not compute in bf16.",
            hint="Choose another precision: fp16, fp32 or auto.",
        )
    return found, dtype


def _usual(device: torch.device) -> torch.dtype:
    if device.type == "cpu":  # few CPUs compute in half precision, and none is faster enough to be worth the rounding
        return torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < _FAST_HALF:
        return torch.float32
    return torch.float16


def _knows_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        # torch emulates it on older GPUs, which is no faster than float32
        return torch.cuda.get_device_capability(device) >= _BFLOAT16
    try:
        torch.zeros(1, dtype=torch.bfloat16, device=device).add_(1)
    except (TypeError, RuntimeError):  # macOS before 14
        return False
    return True


def free_bytes(device: torch.device, memory_limit: float = 0.0, *, held: int = 0) -> int:
    """Bytes of the device's memory that the networks may use.

    Parameters
    ----------
    memory_limit : float
        Upper limit in gigabytes (1e9), the driver's own share included; 0: all that is free.
    held : int
        Bytes of the networks that are on the device already; they count as free.
    """
    import psutil

    share = 0.0
    if device.type == "cuda":
        # torch's cached memory is free for us, though the driver counts it as used
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free, share = torch.cuda.mem_get_info(device)[0] + reserved, CUDA_CONTEXT
    elif device.type == "mps":
        # unified memory: what Metal recommends, limited by what other programs leave
        ours = torch.mps.driver_allocated_memory()
        granted = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        free = min(granted, psutil.virtual_memory().available + ours - torch.mps.current_allocated_memory())
    else:
        free = psutil.virtual_memory().available
    free = max(free, 0) + held
    return int(min(free, max(memory_limit * 1e9 - share, 0))) if memory_limit else int(free)


def name(device: torch.device) -> str:
    """What the device is called in records and messages, see `devices.name`."""
    return devices.name(str(device))


@contextmanager
def tensor_float(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 for float32 while this lasts: many times as fast; torch allows it for convolutions only."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def release(device: torch.device) -> None:
    """Free torch's cached memory of the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()

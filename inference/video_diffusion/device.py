"""Where the networks run, in which precision, and how much memory there is for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..common import devices
from ..common.failures import Failure
from ..contract import exit_codes

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
CUDA_CONTEXT = 0.6e9
"""Bytes that CUDA itself takes of a card once a process uses it: context, kernels, cuBLAS' workspace."""
_FAST_HALF = (7, 0)
"""First compute capability (Volta) with tensor cores. Before it, half precision is emulated or runs at 1/64 of single
precision's pace (CUDA C++ Programming Guide, arithmetic throughput), and cuDNN converts back and forth."""

_BFLOAT16 = (8, 0)
"""First compute capability (Ampere) that has bfloat16."""


def choose(device: str = devices.AUTO, precision: str = "auto") -> tuple[torch.device, torch.dtype]:
    """The device and the dtype of the networks.

    Parameters
    ----------
    device : str
        See `devices.find`.
    precision : str
        ``fp16``, ``bf16``, ``fp32``, or ``auto``: float16, in which the weights are released, on graphics cards that
        are fast at it, and float32 on older cards and on the processor. The autoencoder's encoder runs in float32
        in any case.

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
            exit_codes.USAGE, f"There is no precision '{precision}'.", cure=f"Choose auto, {', '.join(PRECISIONS)}."
        )
    dtype = PRECISIONS[precision]
    if dtype == torch.bfloat16 and not _knows_bfloat16(found):
        raise Failure(
            exit_codes.MISSING,
            f"{name(found)} does not compute in bf16.",
            cure="Choose another precision: fp16, fp32 or auto.",
        )
    return found, dtype


def _usual(device: torch.device) -> torch.dtype:
    if device.type == "cpu":  # few processors compute in halves, and none of them faster by enough to round for it
        return torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < _FAST_HALF:
        return torch.float32
    return torch.float16


def _knows_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        # what torch emulates on older cards takes float32's time, so it is no help
        return torch.cuda.get_device_capability(device) >= _BFLOAT16
    try:
        torch.zeros(1, dtype=torch.bfloat16, device=device).add_(1)
    except (TypeError, RuntimeError):  # macOS before 14
        return False
    return True


def free_bytes(device: torch.device, memory_limit: float = 0.0, *, held: int = 0) -> int:
    """Bytes of the device's memory that the networks and their work may take.

    Parameters
    ----------
    device : torch.device
    memory_limit : float
        Gigabytes (1e9) that the artist grants in all, the driver's own share included; 0: all that is free.
    held : int
        Bytes that belong to the networks and lie on the device already: they are there to be used, too.
    """
    import psutil

    share = 0.0
    if device.type == "cuda":
        # what torch keeps for later is free for us, though the driver thinks otherwise
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free, share = torch.cuda.mem_get_info(device)[0] + kept, CUDA_CONTEXT
    elif device.type == "mps":
        # One memory for both: what Metal would grant, as far as other programs have left it.
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
    """Let cards compute float32 in TF32 for a while, many times as fast, or not; torch allows it to convolutions."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def release(device: torch.device) -> None:
    """Give back what torch keeps of the device's memory for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()

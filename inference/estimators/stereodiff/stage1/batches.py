"""The pair network on a device: loaded once for a job, in batches that fit into free memory."""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ....common.failures import Failure, is_out_of_memory
from ....contract import exit_codes
from ....contract.hints import setting
from ....models import store as models
from ....video_diffusion import device
from ...base import Shot
from ..settings import MONST3R, Settings
from . import checkpoint_file, memory
from .matching import image_size, match
from .network import PairNetwork
from .pair_store import PairPart, PairStore


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of the pair network, except its heads, for a precision that the device supports.

    ``auto`` is float32, as in the reference and the weights: an error in the points of one pair is passed on to all
    frames that are aligned by it.
    """
    return torch.float32 if precision == "auto" else device.PRECISIONS[precision]


def load(settings: Settings) -> PairNetwork:
    """The downloaded network, in host memory; errors as for `checkpoint_file.load`."""
    return _network(models.folder(MONST3R), dtype_of(settings.precision))


def forget() -> None:
    """Free the network that is cached in host memory for the job's next shot."""
    if _network.cache_info().currsize:
        _network.cache_clear()
        gc.collect()


def run(
    network: PairNetwork,
    shot: Shot,
    settings: Settings,
    torch_device: torch.device,
    *,
    pair_store: PairStore | PairPart,
    progress: Callable[[int, int], None],
) -> None:
    """Run the network, which is in host memory, on the pairs that are not done; on return the device is free.

    Raises
    ------
    Failure
        There is too little memory.
    """
    size = image_size(shot.frames.width, shot.frames.height)
    warned = False

    def smaller(batch: int) -> int:
        nonlocal warned
        if batch == 1:
            raise _exhausted(torch_device)
        if not warned:
            warned = True
            shot.warn(
                "The memory ran out while frames were matched, so matching continues with fewer pairs at once, which "
                "is slower. No finished work is lost."
            )
        return batch // 2

    # the reference allows TF32 too; an explicit fp32 forbids it
    with device.tensor_float(settings.precision != "fp32"), _on_device(network, torch_device):
        match(
            network,
            shot.frames,
            pair_store,
            reach=settings.reach,
            batch=_planned(network, settings, torch_device, size),
            device=torch_device,
            size=size,
            smaller=smaller,
            check=shot.check,
            progress=progress,
        )


def _planned(network: PairNetwork, settings: Settings, torch_device: torch.device, size: tuple[int, int]) -> int:
    """The largest batch that fits into free memory."""
    dtype = dtype_of(settings.precision)
    held = sum(weight.nbytes for weight in network.parameters() if weight.device.type == torch_device.type)
    free = device.free_bytes(torch_device, memory_limit=settings.memory_limit, held=held)
    batch = memory.choose_batch(network, size, dtype=dtype, free_bytes=free, kind=torch_device.type)
    print(
        f"Matching {batch} pair{'s' * (batch > 1)} at once at {size[0]}x{size[1]}; {free / 1e9:.1f} GB are free on "
        f"{device.name(torch_device)}",
        file=sys.stderr,
    )
    return batch


@contextlib.contextmanager
def _on_device(network: PairNetwork, torch_device: torch.device) -> Iterator[None]:
    """Keep the network on the device while this lasts, and free the device afterwards."""
    if torch_device.type == "cpu":
        yield
        return
    try:
        try:
            network.to(torch_device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _exhausted(torch_device) from error
        yield
    finally:
        network.to("cpu")
        gc.collect()
        device.release(torch_device)


def _exhausted(torch_device: torch.device) -> Failure:
    elsewhere = "" if torch_device.type == "cpu" else f", or use the CPU ({setting('device', 'cpu')})"
    return Failure(
        exit_codes.FAILED,
        "There is too little memory to match even a single pair of frames.",
        hint=f"Close other programs that use the device and start the same job again, which resumes; or "
        f"choose a smaller size ({setting('size', 384)}){elsewhere}.",
    )


@functools.lru_cache(maxsize=1)
def _network(folder: Path, dtype: torch.dtype) -> PairNetwork:
    """The network in host memory, loaded once for all shots of a job."""
    return checkpoint_file.load(folder, dtype=dtype)

"""The pair network on a device: read once for a job, planned by the memory that is free, smaller at need."""

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
from .matching import match, picture_size
from .network import PairNetwork
from .pair_store import PairStore


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of the pair network, but for its heads.

    Parameters
    ----------
    precision : str
        A job's, which `video_diffusion.device.choose` has found possible. ``auto`` is float32, as in the reference: the
        weights are, and an error in the points of one pair is passed on to all frames that are laid onto it.
    """
    return torch.float32 if precision == "auto" else device.PRECISIONS[precision]


def load(settings: Settings) -> PairNetwork:
    """The downloaded network, in the computer's memory; errors as for `checkpoint_file.load`."""
    return _network(models.folder(MONST3R), dtype_of(settings.precision))


def forget() -> None:
    """Let the network go that waits in the computer's memory for the job's next shot."""
    if _network.cache_info().currsize:
        _network.cache_clear()
        gc.collect()


def run(
    network: PairNetwork,
    shot: Shot,
    settings: Settings,
    place: torch.device,
    *,
    pair_store: PairStore,
    progress: Callable[[int, int], None],
) -> None:
    """Have the network look at the pairs that are not done; on return the device is free.

    Parameters
    ----------
    network : PairNetwork
        In the computer's memory.
    shot, settings, place
        See `run.match_shot`.
    pair_store : PairStore
    progress : callable
        Hears how many pairs of how many are done.

    Raises
    ------
    Failure
        REFUSED: the memory does not suffice.
    """
    size = picture_size(shot.frames.width, shot.frames.height)
    warned = False

    def smaller(batch: int) -> int:
        nonlocal warned
        if batch == 1:
            raise _exhausted(place)
        if not warned:
            warned = True
            shot.warn(
                "The memory ran out while frames were matched, so the work goes on in smaller pieces, which is slower; "
                "nothing that was finished is lost."
            )
        return batch // 2

    # the reference allows TF32 as well; who asks for float32 by name gets it
    with device.tensor_float(settings.precision != "fp32"), _on_device(network, place):
        match(
            network,
            shot.frames,
            pair_store,
            reach=settings.reach,
            batch=_planned(network, settings, place, size),
            device=place,
            size=size,
            smaller=smaller,
            check=shot.check,
            progress=progress,
        )


def _planned(network: PairNetwork, settings: Settings, place: torch.device, size: tuple[int, int]) -> int:
    """The largest batches that fit into the memory."""
    dtype = dtype_of(settings.precision)
    held = sum(weight.nbytes for weight in network.parameters() if weight.device.type == place.type)
    free = device.free_bytes(place, memory_limit=settings.memory_limit, held=held)
    batch = memory.choose_batch(network, size, dtype=dtype, free_bytes=free, kind=place.type)
    print(
        f"Matching {batch} pair{'s' * (batch > 1)} at once at {size[0]}x{size[1]}; {free / 1e9:.1f} GB are free on "
        f"{device.name(place)}",
        file=sys.stderr,
    )
    return batch


@contextlib.contextmanager
def _on_device(network: PairNetwork, place: torch.device) -> Iterator[None]:
    """Have the network on the device, and nothing of it left there afterwards."""
    if place.type == "cpu":
        yield
        return
    try:
        try:
            network.to(place)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _exhausted(place) from error
        yield
    finally:
        network.to("cpu")
        gc.collect()
        device.release(place)


def _exhausted(place: torch.device) -> Failure:
    elsewhere = "" if place.type == "cpu" else f", or have the processor do it ({setting('device', 'cpu')})"
    return Failure(
        exit_codes.FAILED,
        "The memory does not suffice for matching even a single pair of frames.",
        cure=f"Close other programs that use the device and start the same job again, which goes on from what is "
        f"finished; or choose a smaller size ({setting('size', 384)}){elsewhere}.",
    )


@functools.lru_cache(maxsize=1)
def _network(folder: Path, dtype: torch.dtype) -> PairNetwork:
    """The network in the computer's memory, read once for all shots of a job."""
    return checkpoint_file.load(folder, dtype=dtype)

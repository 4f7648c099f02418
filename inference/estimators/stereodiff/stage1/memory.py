"""How much memory matching needs, and how many pairs fit at once.

Every figure comes from a dry run (`video_diffusion.dry_run`) of the network at its own sizes.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from ....common.failures import Failure
from ....contract import exit_codes
from ....contract.hints import setting
from ....video_diffusion import dry_run
from ....video_diffusion.dry_run import gigabytes, with_margin
from .checkpoint_file import prepared
from .matching import group_pairs, image_size
from .network import PairNetwork
from .pair_store import packed

BATCHES = (16, 8, 4, 2, 1)
"""Pairs that are decoded together, the largest batch first."""
_SIZES = (384, 256, 128)
"""Long sides that the message offers where memory is too small."""
_ENCODED = 12
"""Encoded frames that this batch or a later one may need, at most: reach + batch / (2 reach) + 1, for any reach."""


def choose_batch(network: PairNetwork, size: tuple[int, int], *, dtype: torch.dtype, free_bytes: int, kind: str) -> int:
    """The most pairs that fit into memory together, one of `BATCHES`.

    Parameters
    ----------
    network : PairNetwork
        On any device; only its sizes are read.
    size : (width, height)
        Of the images, see `matching.image_size`.
    dtype : torch.dtype
        Of the computation, see `checkpoint_file.prepared`.
    free_bytes : int
        Of the device's memory; see `video_diffusion.device.free_bytes`.
    kind : str
        Of the device: ``cuda``, ``mps`` or ``cpu``.

    Raises
    ------
    Failure
        UNSUPPORTED: not even a single pair fits; the message has the figures and what to do.
    """
    outline = outlined(network, dtype)
    # the CPU gains nothing by more than one pair, and can cancel sooner
    for batch in BATCHES if kind != "cpu" else BATCHES[-1:]:
        needed = _needed(outline, size, batch, kind)
        if needed <= free_bytes:
            return batch
    choices = [
        "Close other programs that use the memory",
        *_smaller(outline, size, free_bytes, kind),
        *([f"use the CPU ({setting('device', 'cpu')})"] if kind != "cpu" else []),
    ]
    raise Failure(
        exit_codes.UNSUPPORTED,
        f"Matching needs about {gigabytes(needed)} GB for images of {size[0]}x{size[1]}, "
        f"and {gigabytes(free_bytes, up=False)} GB are free.",
        hint=f"{', '.join(choices)}, or choose the estimator parallax.",
    )


def needed_bytes(network: PairNetwork, size: tuple[int, int], batch: int, *, dtype: torch.dtype, kind: str) -> int:
    """Bytes of the device's memory that matching needs for a batch of so many pairs.

    CUDA's own share is not included. For the parameters see `choose_batch`.
    """
    return _needed(outlined(network, dtype), size, batch, kind)


def _needed(outline: PairNetwork, size: tuple[int, int], batch: int, kind: str) -> int:
    return with_margin(_peak(outline, size, batch, kind), kind)


def _smaller(outline: PairNetwork, size: tuple[int, int], free_bytes: int, kind: str) -> list[str]:
    """The largest of some smaller sizes that fits, in words; empty where none does."""
    for long in _SIZES:
        scaled = image_size(*(side * long // max(size) for side in size))
        if long < max(size) and (needed := _needed(outline, scaled, 1, kind)) <= free_bytes:
            return [f"choose a smaller size ({setting('size', long)} needs about {gigabytes(needed)} GB)"]
    return []


def _peak(outline: PairNetwork, size: tuple[int, int], batch: int, kind: str) -> int:
    """Peak memory while frames are encoded and a batch is decoded, as in `matching.match`."""
    width, height = size
    dtype = next(outline.parameters()).dtype
    together = len(group_pairs(0, batch, count=batch))

    def work() -> object:
        with torch.inference_mode():
            images = torch.empty(together, 3, height, width, dtype=dtype, device="meta")
            states = outline.encode(images)[:1]
            # the first and the last groups may be kept for one of their frames
            held = [torch.empty_like(states) for _ in range(_ENCODED + together - 2)]
            waiting = _views(batch, height, width) if kind != "cuda" else None  # being written to disk
            first, second = (torch.cat([states] * batch) for _ in range(2))
            return packed(*outline.decode(first, second, height, width)), held, waiting

    return dry_run.peak_bytes(work, resident=outline.parameters(), fused_attention=kind != "mps")


def _views(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.empty(2 * batch, height, width, 4, device="meta")


def outlined(network: PairNetwork, dtype: torch.dtype) -> PairNetwork:
    """The same network on ``meta``, in the dtypes of a run; no weight is copied."""
    drawn: dict[int, Any] = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
        for weight in network.parameters()
    }
    return prepared(copy.deepcopy(network, drawn), dtype)  # the memo replaces the weights, so none is copied

"""Stage 1's network over a whole shot: every frame encoded once, pairs decoded in batches, results on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .pair_network import PATCH, PairNetwork
from .pair_store import PairStore
from .pairs import Pair, pairs

LONG_SIDE = 512
"""Of the pictures that the released network was trained on."""


class Frames(Protocol):
    """The frames of a shot, see `estimators.base.Frames`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...


def picture_size(width: int, height: int) -> tuple[int, int]:
    """The size at which the network sees a picture.

    The long side becomes 512, then both sides the multiple of 16 below, by resizing: nothing is cut off, so that there
    is depth for every pixel. A square is taken as it is.

    Returns
    -------
    (width, height)
    """
    scale = LONG_SIDE / max(width, height)
    fitted = (max(PATCH, round(side * scale) // PATCH * PATCH) for side in (width, height))
    return next(fitted), next(fitted)


def to_pictures(frames: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
    """Frames [h, w, 3], uint8 RGB, as the network takes them: [n, 3, H, W], -1 to 1."""
    fitted = []
    for frame in frames:
        smaller = size[0] < frame.shape[1]
        fitted.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
    return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1


def batches(count: int, reach: int, size: int) -> Iterator[list[Pair]]:
    """A shot's pairs in batches that depend on nothing else, so that every run asks the network for the same."""
    all_pairs = pairs(count, reach)
    for start in range(0, len(all_pairs), size):
        yield all_pairs[start : start + size]


@torch.inference_mode()
def match(
    network: PairNetwork,
    frames: Frames,
    store: PairStore,
    *,
    reach: int,
    batch: int,
    device: torch.device,
    size: tuple[int, int],
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Have the network look at all pairs of a shot that an earlier run has not done.

    Parameters
    ----------
    network : PairNetwork
        On the device, in the dtype that it computes in.
    frames : Frames
    store : PairStore
        Takes the results.
    reach : int
        The paper's n.
    batch : int
        Pairs that are decoded together.
    device : torch.device
    size : (width, height)
        See `picture_size`.
    check : callable
        Raises to stop; called before each batch.
    progress : callable
        Hears how many pairs of how many are done.
    """
    width, height = size
    dtype = next(network.parameters()).dtype
    total = len(pairs(len(frames), reach))
    encoded: dict[int, Tensor] = {}
    done = 0
    for chosen in batches(len(frames), reach, batch):
        check()
        if not store.done.issuperset(chosen):
            # batches come by later frame, so what lies further back is not asked for again
            oldest = min(max(pair) for pair in chosen) - reach
            encoded = {frame: states for frame, states in encoded.items() if frame >= oldest}
            for frame in sorted({frame for pair in chosen for frame in pair} - encoded.keys()):
                picture = to_pictures([frames[frame]], size).to(device, dtype)
                encoded[frame] = network.encode(picture)
            first, second = (torch.cat([encoded[pair[side]] for pair in chosen]) for side in (0, 1))
            store.add(chosen, *network.decode(first, second, height, width))
        done += len(chosen)
        progress(done, total)

"""Stage 1's network over a whole shot: every frame encoded once, pairs decoded in batches, results on disk."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....common.failures import is_out_of_memory
from ....video_diffusion import device as devices
from ....video_diffusion.transfer import Fetched
from ...base import Frames
from .network import PATCH, Check, PairNetwork
from .pair_store import PairPart, PairStore, packed
from .pairs import Pair, pairs

LONG_SIDE = 512
"""Of the images that the released network was trained on."""


def image_size(width: int, height: int) -> tuple[int, int]:
    """The size (width, height) at which the network sees an image.

    A long side above 512 becomes 512, then both sides the multiple of 16 below, by resizing: nothing is cropped, so
    every pixel gets depth. A square stays square. Smaller images are not enlarged, for speed.
    """
    scale = min(1.0, LONG_SIDE / max(width, height))
    fitted = (max(PATCH, round(side * scale) // PATCH * PATCH) for side in (width, height))
    return next(fitted), next(fitted)


def to_images(frames: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
    """Frames [h, w, 3], uint8 RGB, as the network's input [n, 3, H, W], -1 to 1."""
    fitted = []
    for frame in frames:
        smaller = size[0] < frame.shape[1]
        fitted.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
    return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1


def match(
    network: PairNetwork,
    frames: Frames,
    store: PairStore | PairPart,
    *,
    reach: int,
    batch: int,
    device: torch.device,
    size: tuple[int, int],
    smaller: Callable[[int], int],
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Run the network on all pairs of a shot that an earlier run has not done.

    Parameters
    ----------
    network : PairNetwork
        On the device, in the dtype of the computation.
    store : PairStore or PairPart
        Receives the results.
    reach : int
        The paper's n.
    batch : int
        Pairs that are decoded together; the last ones may be fewer.
    size : (width, height)
        See `image_size`.
    smaller : callable
        Called with the size of a batch that ran out of memory; returns the size to continue with, or raises.
    check : callable
        Called between layers; raises to cancel.
    progress : callable
        Called with the number of finished pairs, and of all.
    """
    everything = pairs(len(frames), reach)
    known = store.done
    look = _Matcher(network, frames, size, device, check)
    waiting: tuple[Sequence[Pair], list[Fetched]] | None = None
    done = 0

    def keep() -> None:
        # one behind: a batch is written while the device computes the next
        nonlocal waiting, done
        if waiting is not None:
            chosen, fetched = waiting
            store.add(chosen, *(each.tensor() for each in fetched))
            waiting, done = None, done + len(chosen)
            progress(done, len(everything))

    start = 0
    while start < len(everything):
        check()
        chosen = everything[start : start + batch]
        if known.issuperset(chosen):
            done += len(chosen)
            progress(done, len(everything))
        else:
            fetched = look.attempted(chosen, batch, oldest=min(max(pair) for pair in chosen) - reach)
            keep()
            if fetched is None:
                look.forget()
                batch = smaller(batch)
                continue
            waiting = chosen, fetched
        start += len(chosen)
    keep()


class _Matcher:
    """The network, and the frames that it has encoded."""

    def __init__(
        self, network: PairNetwork, frames: Frames, size: tuple[int, int], device: torch.device, check: Check
    ) -> None:
        self._network, self._frames, self._size, self._device, self._check = network, frames, size, device, check
        self._dtype = next(network.parameters()).dtype
        self._encoded: dict[int, Tensor] = {}

    def forget(self) -> None:
        """Free the encoded frames."""
        self._encoded = {}
        gc.collect()
        devices.release(self._device)

    def attempted(self, chosen: Sequence[Pair], together: int, *, oldest: int) -> list[Fetched] | None:
        """The network's results for a batch, being copied from the device; None where memory ran out.

        `together` is the current size of batches; no frame before `oldest` is needed again.
        """
        try:
            return self._pairs(chosen, together, oldest)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    @torch.inference_mode()
    def _pairs(self, chosen: Sequence[Pair], together: int, oldest: int) -> list[Fetched]:
        width, height = self._size
        self._encoded = {frame: states for frame, states in self._encoded.items() if frame >= oldest}
        for frame in sorted({frame for pair in chosen for frame in pair}):
            if frame not in self._encoded:
                frames = group_pairs(frame, together, len(self._frames))
                images = to_images([self._frames[each] for each in frames], self._size)
                states = self._network.encode(images.to(self._device, self._dtype), self._check)
                self._encoded |= {each: states[row : row + 1] for row, each in enumerate(frames)}
        first, second = (torch.cat([self._encoded[pair[side]] for pair in chosen]) for side in (0, 1))
        views = packed(*self._network.decode(first, second, height, width, self._check))
        return [Fetched(each) for each in views]


def group_pairs(frame: int, size: int, count: int) -> range:
    """The frames of a shot that are encoded together with a frame, for a size of batches of pairs.

    They depend on nothing else, so a frame's states are always the same. Encoding a frame takes about a tenth of the
    memory of decoding a pair.
    """
    together = max(1, size // 2)
    first = frame // together * together
    return range(first, min(first + together, count))

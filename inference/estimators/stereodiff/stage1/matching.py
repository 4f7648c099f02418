"""Stage 1's network over a whole shot: every frame encoded once, pairs decoded in batches, results on disk.

How many pairs the network sees together, from which pair on, is the same in every run of a job: with other batches its
results differ by rounding, so what an earlier run used is used again, also where memory ran out in the midst of it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....common.failures import is_out_of_memory
from ....common.files import save_json
from ....contract import records
from ....video_diffusion import device as devices
from ....video_diffusion.transfer import Fetched
from .network import PATCH, Check, PairNetwork
from .pair_store import PairStore, packed
from .pairs import Pair, pairs

LONG_SIDE = 512
"""Of the pictures that the released network was trained on."""
_Count = Annotated[int, records.Bounds(0, 2**31 - 1)]


class Frames(Protocol):
    """The frames of a shot, see `estimators.base.Frames`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...


def picture_size(width: int, height: int) -> tuple[int, int]:
    """The size at which the network sees a picture.

    A long side above 512 becomes 512, then both sides the multiple of 16 below, by resizing: nothing is cut off, so
    that there is depth for every pixel. A square is taken as it is. Smaller pictures are not enlarged: who works small
    wants it fast.

    Returns
    -------
    (width, height)
    """
    scale = min(1.0, LONG_SIDE / max(width, height))
    fitted = (max(PATCH, round(side * scale) // PATCH * PATCH) for side in (width, height))
    return next(fitted), next(fitted)


def to_pictures(frames: list[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
    """Frames [h, w, 3], uint8 RGB, as the network takes them: [n, 3, H, W], -1 to 1."""
    fitted = []
    for frame in frames:
        smaller = size[0] < frame.shape[1]
        fitted.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
    return torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).float() / 127.5 - 1


def match(
    network: PairNetwork,
    frames: Frames,
    store: PairStore,
    *,
    reach: int,
    batching: Batching,
    device: torch.device,
    size: tuple[int, int],
    smaller: Callable[[Batching, int], Batching],
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
    batching : Batching
    device : torch.device
    size : (width, height)
        See `picture_size`.
    smaller : callable
        Called with the batching and the place of a batch for which memory did not suffice; gives the one to go on with
        from there, or raises.
    check : callable
        Raises to stop; called between layers.
    progress : callable
        Hears how many pairs of how many are done.
    """
    everything = pairs(len(frames), reach)
    known = store.done
    look = _Look(network, frames, size, device, check)
    waiting: tuple[Sequence[Pair], list[Fetched]] | None = None
    done = 0

    def keep() -> None:
        # one behind: what was fetched is written while the device computes the next
        nonlocal waiting, done
        if waiting is not None:
            chosen, fetched = waiting
            store.add_views(chosen, *(each.tensor() for each in fetched))
            waiting, done = None, done + len(chosen)
            progress(done, len(everything))

    place = 0
    while place < len(everything):
        check()
        together, chosen = batching.batch(everything, place)
        if known.issuperset(chosen):
            done += len(chosen)
            progress(done, len(everything))
        else:
            fetched = look.attempted(chosen, together, oldest=min(max(pair) for pair in chosen) - reach)
            keep()
            if fetched is None:
                look.forget()
                batching = smaller(batching, place)
                continue
            waiting = chosen, fetched
        place += len(chosen)
    keep()


class _Look:
    """The network, and what it has encoded."""

    def __init__(
        self, network: PairNetwork, frames: Frames, size: tuple[int, int], device: torch.device, check: Check
    ) -> None:
        self._network, self._frames, self._size, self._device, self._check = network, frames, size, device, check
        self._dtype = next(network.parameters()).dtype
        self._encoded: dict[int, Tensor] = {}
        self._together = 0

    def forget(self) -> None:
        """Let what is encoded go, with the memory that it took."""
        self._encoded = {}
        gc.collect()
        devices.release(self._device)

    def attempted(self, chosen: Sequence[Pair], together: int, *, oldest: int) -> list[Fetched] | None:
        """What the network says of a batch, on its way from the device; None where memory does not suffice.

        Parameters
        ----------
        chosen : sequence of Pair
        together : int
            Size of the batches now.
        oldest : int
            Frames before it are not asked for again.
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
        # what was encoded in other groups differs by rounding from what a run that began here would encode
        still = together == self._together
        self._encoded = {frame: states for frame, states in self._encoded.items() if still and frame >= oldest}
        self._together = together
        for frame in sorted({frame for pair in chosen for frame in pair}):
            if frame not in self._encoded:
                frames = group_pairs(frame, together, len(self._frames))
                pictures = to_pictures([self._frames[each] for each in frames], self._size)
                states = self._network.encode(pictures.to(self._device, self._dtype), self._check)
                self._encoded |= {each: states[row : row + 1] for row, each in enumerate(frames)}
        first, second = (torch.cat([self._encoded[pair[side]] for pair in chosen]) for side in (0, 1))
        views = packed(*self._network.decode(first, second, height, width, self._check))
        return [Fetched(each) for each in views]


@dataclass(frozen=True)
class Batching:
    """Sizes of batches.

    Attributes
    ----------
    steps : tuple of (int, int)
        First pair, by its place in `pairs.pairs`, and the number of pairs that are decoded together from there on; the
        first step begins at 0.
    """

    steps: tuple[tuple[_Count, _Count], ...]

    def problems(self) -> Iterator[str]:
        """What makes it none, for the door that it comes in by (`records`)."""
        places = [place for place, _ in self.steps]
        if places[:1] != [0] or sorted(set(places)) != places or not all(size for _, size in self.steps):
            yield "has steps that do not begin at 0, or are not in order"

    @staticmethod
    def of(size: int) -> Batching:
        """The same size throughout."""
        return Batching(((0, size),))

    def smaller_from(self, place: int) -> Batching | None:
        """Half the size from a batch's first pair on; None where there is no smaller one."""
        size = self.steps[-1][1]
        if size == 1:
            return None
        return Batching((*(step for step in self.steps if step[0] < place), (place, size // 2)))

    def batch(self, pairs: Sequence[Pair], place: int) -> tuple[int, Sequence[Pair]]:
        """Size and pairs of the batch that begins at a place; the last of a size may be short."""
        ends = [first for first, _ in self.steps[1:]] + [len(pairs)]
        size, end = next((size, end) for (_, size), end in zip(self.steps, ends) if place < end)
        return size, pairs[place : min(place + size, end)]


def group_pairs(frame: int, size: int, count: int) -> range:
    """The frames that are encoded together with one, where so many pairs are decoded together.

    They depend on nothing else, so that a frame's states are the same whenever they are asked for. A frame takes about
    as much memory to encode as a tenth of a pair to decode.

    Parameters
    ----------
    frame : int
    size : int
        Of the batch of pairs.
    count : int
        Frames of the shot.
    """
    together = max(1, size // 2)
    first = frame // together * together
    return range(first, min(first + together, count))


def save_batching(batching: Batching, path: Path) -> None:
    """Keep it for a later run."""
    save_json(path, batching)


def load_batching(path: Path) -> Batching | None:
    """What an earlier run used; None where there is none that can be read."""
    try:
        return records.load(Batching, path, strict=True)
    except (OSError, records.RecordError):
        return None

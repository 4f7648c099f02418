"""Overlapping windows faded one into the next after decoding.

The paper shares no latents between windows: at this noise level that harms (table 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


class Blending:
    """What the window before has made of the frames that the next one shares with it.

    Parameters
    ----------
    overlap : int
        Frames that consecutive windows share.
    waiting : sequence of Tensor [H, W]
        To go on from where an earlier `Blending` stood: its `waiting`.
    """

    def __init__(self, overlap: int, waiting: Iterable[Tensor] = ()) -> None:
        self._overlap = overlap
        self._weights = torch.linspace(0, 1, overlap).tolist() if overlap > 1 else [0.5] * overlap
        self.waiting: list[Tensor] = list(waiting)

    def through(
        self, window: range, maps: Iterable[Tensor | None], *, last: bool
    ) -> Iterator[tuple[int, Tensor | None]]:
        """The frames of a window that are final now; `waiting` is what the next window needs once all are taken.

        Parameters
        ----------
        window : range
            Its frames.
        maps : iterable of Tensor [H, W] or None
            One for each of them; None where nobody asks for the frame. The last `overlap` ones are asked for, unless
            the window is the last.
        last : bool
            Whether no window follows.

        Yields
        ------
        (int, Tensor or None)
            Each frame, in order, and its map, the window's weight growing linearly from 0 to 1 over the overlap, both
            included.
        """
        before, self.waiting = self.waiting, []
        final = len(window) - (0 if last else self._overlap)
        for place, (index, own) in enumerate(zip(window, maps, strict=True)):
            blended = own
            if own is not None and place < len(before):
                blended = torch.lerp(before[place], own, self._weights[place])
            if place < final:
                yield index, blended
            elif blended is None:
                raise ValueError(f"the next window needs frame {index}")
            else:
                self.waiting.append(blended)

"""A shot's depth before stage 2, of stage 1 or of another depth sequence.

The paper's second stage refines any depth sequence (section 3.3), so an existing one can replace stage 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...common.percentiles import Percentiles
from ...contract.camera import Camera
from ...video_diffusion import resolution
from ..base import Shot

_NARROW, _TINY = 1e-3, 1e-37
"""Quantiles that are closer, by a share of their value or absolutely, are equal: the precision of `Percentiles`."""


class Prior(Protocol):
    """Maps by random access; the same bits on every read, in any order.

    Attributes
    ----------
    size : (width, height)
        Of the maps.
    camera : Camera or None
        With a pose for every frame, scaled to the maps; None where none is known.
    has_confidence : bool
        Whether `confidence` is meaningful.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def camera(self) -> Camera | None: ...

    @property
    def has_confidence(self) -> bool: ...

    def disparity(self, index: int) -> NDArray[np.float32]:
        """The map [h, w] of the shot's `index`-th frame: finite, holes filled, in the prior's own units."""

    def confidence(self, index: int) -> NDArray[np.float32]:
        """Confidence of that map [h, w], 0 to 1; 0 where it was filled."""


def value_range(
    prior: Prior,
    count: int,
    quantile: float,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    """The value range (low, high) of a shot of `count` frames, without the share `quantile` of the values at each end.

    Where nearly all values are the same, as of a sky behind a small object, it is minimum and maximum. One map is in
    memory at a time; `check` is called before each and raises to stop.
    """
    percentiles = Percentiles()
    for index in range(count):
        check()
        percentiles.add(prior.disparity(index))
        progress(index + 1, count)
    low, high = percentiles.quantile(quantile), percentiles.quantile(1 - quantile)
    if high - low <= max(_NARROW * abs(low), _NARROW * abs(high), _TINY):
        return percentiles.quantile(0), percentiles.quantile(1)
    return low, high


def write_maps(shot: Shot, prior: Prior, frame: int, disparity: NDArray[np.float32]) -> None:
    """Write a frame's map, counted from the shot's first and of any size, with the prior's confidence where it has one.

    Resizing stays within its values.
    """
    shot.check()
    working = (shot.frames.width, shot.frames.height)
    confidence = None
    if prior.has_confidence:
        confidence = np.clip(resolution.to_working(prior.confidence(frame), working), 0, 1)
    shot.write(frame, resolution.to_working(disparity, working), confidence)

"""A shot's depth before stage 2: what stage 1, or another depth sequence, says of each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ...camera import Camera
from ...run.spread import Spread

_NARROW, _TINY = 1e-3, 1e-37
"""Two quantiles must be further apart than this share of their value, and than this: `Spread` knows no better."""


class Prior(Protocol):
    """Maps by random access; the same bits however often and in whatever order they are asked for.

    Attributes
    ----------
    size : (width, height)
        Of the maps.
    camera : Camera or None
        With a pose for every frame, scaled to the maps; None where none is known.
    has_confidence : bool
        Whether `confidence` means something.
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
        """How far that map is to be trusted, [h, w], 0 to 1; 0 where it was filled."""


def filled(disparity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map [h, w] with the value of the nearest valid pixel wherever it is not valid itself.

    Raises
    ------
    ValueError
        No pixel is valid.
    """
    if valid.all():
        return disparity
    if not valid.any():
        raise ValueError("no pixel is valid")
    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return disparity[rows, columns]


def spread_of(
    prior: Prior,
    count: int,
    quantile: float,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    """Between which values a shot's disparity lies, but for a share of it at each end.

    Where nearly all values are the same, as those of a sky behind something small, it is minimum and maximum.

    Parameters
    ----------
    prior : Prior
    count : int
        Frames of the shot; one map is held at a time.
    quantile : float
        The share, 0 to below 0.5; 0: minimum and maximum.
    check : callable
        Raises to stop; called before each map.
    progress : callable
        Hears how many maps of how many are read.

    Returns
    -------
    (low, high)
        Equal where all values are.
    """
    spread = Spread()
    for index in range(count):
        check()
        spread.add(prior.disparity(index))
        progress(index + 1, count)
    low, high = spread.quantile(quantile), spread.quantile(1 - quantile)
    if high - low <= max(_NARROW * abs(low), _NARROW * abs(high), _TINY):
        return spread.quantile(0), spread.quantile(1)
    return low, high

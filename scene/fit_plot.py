"""A small plot of a fit for the panel: each track's distance by the camera solve against that by the depth.

Panels draw no pixels of their own, but icons, so it is one: of the sort that previews of files are.
"""

from __future__ import annotations

from typing import Any

import bpy.utils.previews
import numpy as np
from numpy.typing import NDArray

SIZE = 256
"""Pixels along each side."""

_DOT = 3
_BACK, _LINE, _BAND = (0.11, 0.11, 0.11, 1.0), (0.45, 0.45, 0.45, 1.0), (0.16, 0.16, 0.16, 1.0)
_USED, _WILD = (0.35, 0.75, 0.45, 1.0), (0.95, 0.35, 0.25, 1.0)
_WITHIN = 0.1
"""The band about the line: a tenth of the distance."""
_MOST = 8

_state: dict[str, Any] = {"previews": None}


def icon_of(item: Any) -> int:
    """The icon with the plot of a fit on the list; drawn once for each set of values."""
    distance, fitted = np.empty(len(item.tracks), np.float32), np.empty(len(item.tracks), np.float32)
    used = np.empty(len(item.tracks), bool)
    item.tracks.foreach_get("distance", distance)
    item.tracks.foreach_get("fitted", fitted)
    item.tracks.foreach_get("is_inlier", used)
    key = str(hash((distance.tobytes(), fitted.tobytes(), used.tobytes())))
    previews = _state["previews"]
    if previews is None:
        previews = _state["previews"] = bpy.utils.previews.new()
    if key not in previews:
        if len(previews) >= _MOST:
            previews.clear()
        drawn = previews.new(key)
        drawn.image_size = (SIZE, SIZE)
        drawn.image_pixels_float.foreach_set(plotted(distance, fitted, used).ravel())
    return previews[key].icon_id


def plotted(distance: NDArray[np.float32], fitted: NDArray[np.float32], used: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The plot [SIZE, SIZE, 4], first row at the bottom: both axes alike and logarithmic.

    A line where both distances agree, a band of a tenth of the distance about it, a dot for each track; one that is
    beyond infinity lies at the upper edge. The axes are those of the tracks that are used.
    """
    image = np.empty((SIZE, SIZE, 4), np.float32)
    image[:] = _BACK
    known = np.isfinite(distance) & (distance > 0)
    if not known.any():
        return image
    # By the tracks that are used: wild ones lie at the edges, and would squeeze all others together.
    shown = distance[known & used] if (known & used).any() else distance[known]
    low, high = np.log(shown.min() / 1.3), np.log(shown.max() * 1.3)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    off = np.abs(rows - columns) * (high - low) / SIZE
    image[off < np.log1p(_WITHIN)] = _BAND
    image[np.abs(rows - columns) < 1] = _LINE
    with np.errstate(divide="ignore"):
        seen = np.where(fitted > 0, np.log(np.maximum(fitted, 1e-30)), np.inf)
    places = np.stack([seen, np.log(np.where(known, distance, 1.0))], axis=1)
    places = np.clip((places - low) / (high - low) * SIZE, _DOT, SIZE - 1 - _DOT).astype(int)
    for wild_last in (True, False):
        for row, column in places[known & (used == wild_last)]:
            image[row - _DOT : row + _DOT + 1, column - _DOT : column + _DOT + 1] = _USED if wild_last else _WILD
    return image


def stop() -> None:
    """Give the icons back."""
    if _state["previews"] is not None:
        bpy.utils.previews.remove(_state["previews"])
        _state["previews"] = None

"""Shadows of dynamic objects, which move as they do but lie on the static scene.

What the static scene looks like without them is known from other frames, reprojected by its depth. A shadow darkens it:
by the same factor in every color, whatever its own colors are, or by less the bluer they are, where the sky lights it.
An object has other colors. Where the image looks as it does in the other frames, nothing moves at all.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .view import Views

_AWAY = (-12, -8, -5, 5, 8, 12)  # frames that show what is there without the object
_FEWEST = 2
_DARKEST, _SAME = 0.2, 1.06  # factors on the static scene's light that a shadow has
_COLORED, _BLUE = 0.12, 0.2  # difference of the factors of two colors, of their mean, at most; where the sky lights it
_AGREE = 0.03  # difference of the two brightest frames, of their light, where both show the static scene
_BLUR = 1.5  # pixels
_BLACK = 16.0  # level below which colors say little


def shadowed(
    color: Callable[[int], NDArray[np.uint8]],
    frame: int,
    inverse_depth: NDArray[np.float32],
    views: Views,
    *,
    ground: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Where a frame shows its static scene, in shadow or not.

    Parameters
    ----------
    color : callable
        Frame to its image [H, W, 3].
    frame : int
    inverse_depth : float32 [H, W]
        Of the static scene, completed behind objects.
    views : Views
        At the size of the images.
    ground : bool [H, W] or None
        Where ground may be seen, on which the sky lights shadows, and they move on; None: everywhere.
    """
    height, width = inverse_depth.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rays = np.stack([(x - views.center[0]) / views.focal, (y - views.center[1]) / views.focal, np.ones_like(x)], -1)
    others = []
    for other in (frame + away for away in _AWAY):
        if not 0 <= other < len(views):
            continue
        turn, shift = views.relative(frame, other)
        at = rays @ turn.T.astype(np.float32) + inverse_depth[..., None] * shift.astype(np.float32)
        z = np.maximum(at[..., 2], 1e-6)
        u = (views.focal * at[..., 0] / z + views.center[0]).astype(np.float32)
        v = (views.focal * at[..., 1] / z + views.center[1]).astype(np.float32)
        seen = cv2.remap(color(other), u, v, cv2.INTER_LINEAR).astype(np.float32)
        inside = (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1) & (at[..., 2] > 1e-6)
        seen[~inside] = np.nan
        others.append(cv2.GaussianBlur(seen, (0, 0), _BLUR))
    if len(others) < _FEWEST:
        return np.zeros((height, width), bool)
    ordered = np.sort(np.stack(others), axis=0)  # NaN is last
    count = np.sum(~np.isnan(ordered), axis=0)
    known = count[..., 0] >= _FEWEST
    mine = cv2.GaussianBlur(color(frame).astype(np.float32), (0, 0), _BLUR)
    steps = (
        np.maximum(count - 1, 0) // 2,
        count // 2 * known[..., None],
        np.maximum(count - 2, 0),
        np.maximum(count - 1, 0),
    )
    *middle, lit, brightest = (np.take_along_axis(ordered, step[None], axis=0)[0] for step in steps)
    # the median; and where a shadow lies in most frames as it moves on, those without it, if they are alike
    alike = np.all(brightest - lit < _AGREE * (lit + _BLACK), axis=-1)
    here = np.ones_like(known) if ground is None else ground
    return known & (_darker(mine, (middle[0] + middle[1]) / 2, here) | (alike & here & _darker(mine, lit, here)))


def _darker(mine: NDArray[np.float32], usual: NDArray[np.float32], ground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where an image [H, W, 3] is another one as a shadow darkens it, on the ground one that the sky lights."""
    factor = (mine + _BLACK) / (usual + _BLACK)
    mean = factor.mean(axis=-1)
    colored = (factor.max(axis=-1) - factor.min(axis=-1)) / mean
    bluer = np.all(np.diff(factor, axis=-1) >= 0, axis=-1)
    return (mean > _DARKEST) & (mean < _SAME) & (colored < np.where(bluer & ground, _BLUE, _COLORED))

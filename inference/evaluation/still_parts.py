"""What of a picture stands still, told by its flow to the next one alone.

What stands still moves in the picture as one rigid scene in front of a camera does: not at all where the camera stands,
else along the lines of a fundamental matrix (Hartley and Zisserman, Multiple View Geometry, chapter 11), fitted
robustly (MAGSAC++, Barath et al., CVPR 2020) where the picture has texture. What moves by less than half a pixel a
frame beside it, or along those lines, counts as still; so does a rigid thing that moves and fills most of the picture.
The stricter homography of a camera that only turns is not asked for: much of what is near and stands still would fail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from . import loops
from .optical_flow import Link, at, positions

_CLOSE = 0.5  # pixels; measured flow is seldom better, and what moves slowly is seldom farther
_POINTS = 3000  # that models are fitted to, about
_FEWEST = 50
_STANDS, _LEAST_STANDING = 0.25, 0.4  # pixels, and share of the texture that moves by less where a camera stands
_LEAST_SHARE = 0.6  # of the texture, that must follow the lines; much does by chance
_CONTRAST, _PATCH = 2.0, 7  # standard deviation in grey levels, of so many pixels
_SURE, _TRIALS = 0.999, 2000

Misses = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Points [N, 2] of two pictures to how far, in pixels, their motion is from that of what stands still."""
Lacking = Literal["texture", "still"]
"""Why nothing is known to stand still: too little texture to tell, or no motion that much of the picture shares."""


def still_part(
    link: Link, before: NDArray[np.uint8], after: NDArray[np.uint8], moving: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | Lacking:
    """Where the first picture of two shows what stands still and is seen in the second [H, W].

    Parameters
    ----------
    link : Link
    before, after : uint8 [H, W]
        The pictures.
    moving : bool [H, W] or None
        What moves in the first one, where somebody says so.
    """
    textured = _textured(before) & at(_textured(after), *positions(link.forth))
    if moving is not None:
        textured &= ~moving
    stride = max(1, round(float(np.sqrt(textured.size / _POINTS))))
    rows, columns = (stride * index for index in np.nonzero((textured & link.seen)[::stride, ::stride]))
    if len(rows) < _FEWEST:
        return "texture"
    if moving is not None:
        return link.seen & ~moving
    points = np.stack([columns, rows], axis=-1).astype(np.float64)
    followed = len(rows) / np.count_nonzero(textured[::stride, ::stride])
    model = _model(points, points + link.forth[rows, columns], followed)
    if model is None:
        return "still"
    height, width = before.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    everywhere = np.stack([x, y], axis=-1).reshape(-1, 2)
    off = model(everywhere, everywhere + link.forth.reshape(-1, 2))
    return np.asarray(link.seen & (off < _CLOSE).reshape(height, width), bool)


def _model(points: NDArray[np.float64], onward: NDArray[np.float64], followed: float) -> Misses | None:
    """The simplest motion that much of the picture shares; None where there is none.

    `followed` is the share of the picture's texture that the points are: what could not be followed obeys nothing.
    """
    if followed * np.mean(_way(points, onward) < _STANDS) >= _LEAST_STANDING:
        return _way
    try:
        lines, _ = cv2.findFundamentalMat(points, onward, cv2.USAC_MAGSAC, _CLOSE, _SURE, _TRIALS)
    except cv2.error:  # raised in the place of None where its refinement is left without a matrix
        return None
    if lines is None:
        return None
    moving = partial(_off_lines, lines[:3])
    return moving if followed * np.mean(moving(points, onward) < _CLOSE) >= _LEAST_SHARE else None


def _way(points: NDArray[np.float64], onward: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(*(onward - points).T)


def _off_lines(
    matrix: NDArray[np.float64], points: NDArray[np.float64], onward: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sampson distance in pixels of pairs of points [N, 2] from a fundamental matrix."""
    found = np.empty(len(points), np.float64)
    loops.off_lines(np.ascontiguousarray(matrix), points, onward, found)
    return found


def _textured(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    values, size = grey.astype(np.float32), (_PATCH, _PATCH)
    return np.asarray(cv2.blur(values * values, size) - cv2.blur(values, size) ** 2 > _CONTRAST**2, bool)

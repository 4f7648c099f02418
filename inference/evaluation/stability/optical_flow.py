"""Where each pixel of a picture is in another one, where that can be believed, and what stands still by it.

Dense optical flow by OpenCV's DIS (Kroeger et al., ECCV 2016), believed where it agrees forth and back by the rule of
Sundaram, Brox and Keutzer (ECCV 2010, equation 5), which also leaves out what is hidden in the other picture.

What stands still moves in the picture as one rigid scene in front of a camera does: not at all where the camera stands,
else along the lines of a fundamental matrix (Hartley and Zisserman, Multiple View Geometry, chapter 11), fitted
robustly (MAGSAC++, Barath et al., CVPR 2020) where the picture has texture. What moves by less than half a pixel a
frame beside it, or along those lines, counts as still; so does a rigid thing that moves and fills most of the picture.
The stricter homography of a camera that only turns is not asked for: much of what is near and stands still would
fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from . import warping
from .warping import sampled

SMALLEST = 12
"""Pixels that a picture's long side needs: less is no use to DIS."""
_RELATIVE, _ABSOLUTE = 0.01, 0.5  # of squared lengths, and squared pixels
_BEND, _BREAK = np.array([[1.0, -2.0, 1.0]]), 0.5  # pixels of flow that a straight line through three pixels misses
_OUTSIDE = (1e3, 1e3)  # what lies beyond the edge disagrees with anything
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


@dataclass(frozen=True, kw_only=True)
class Link:
    """How two pictures belong together.

    Attributes
    ----------
    forth, back : [H, W, 2]
        Pixels to the right and downward, from the first picture to the second and the other way.
    seen, seen_back : bool [H, W]
        Where `forth`, in the first picture, and `back`, in the second, can be believed.
    """

    forth: NDArray[np.floating]
    back: NDArray[np.floating]
    seen: NDArray[np.bool_]
    seen_back: NDArray[np.bool_]


def grey(picture: NDArray) -> NDArray[np.uint8]:
    """An RGB picture [H, W, 3], in [0, 1] or as integers, as the grey one that flow is measured in."""
    values = np.asarray(picture)
    scale = 255 / np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 255
    shades = cv2.cvtColor(np.nan_to_num(values.astype(np.float32) * np.float32(scale)), cv2.COLOR_RGB2GRAY)
    return np.clip(np.round(shades), 0, 255).astype(np.uint8)


def link(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    *,
    start: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> Link:
    """Measure flow both ways.

    Parameters
    ----------
    before, after : uint8 [H, W]
        Grey pictures of one size, their long side at least `SMALLEST`.
    start : (forth, back) or None
        Flow to begin with, such as one chained over the pictures in between: motion too great to be found at once.
    """
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth = search.calc(before, after, None if start is None else start[0].copy())
    back = search.calc(after, before, None if start is None else start[1].copy())
    return Link(forth=forth, back=back, seen=agreeing(forth, back), seen_back=agreeing(back, forth))


def agreeing(forth: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where following `forth` and then `back` leads to where it began [H, W]."""
    u, v = positions(forth)
    returned = cv2.remap(back, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE)
    found = np.empty(forth.shape[:2], bool)
    warping.agreeing(forth, returned, _RELATIVE, _ABSOLUTE, found)
    return found


def positions(flow: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row [H, W] to which flow leads from each pixel; far outside where it is not finite."""
    height, width = flow.shape[:2]
    u, v = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    warping.followed(np.ascontiguousarray(flow), u, v)
    return u, v


def at(mask: NDArray[np.bool_], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.bool_]:
    """A mask at the pixels nearest to columns `u` and rows `v`; False outside of the picture."""
    return cv2.remap(mask.astype(np.uint8), u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0


def chained(flow: NDArray[np.floating], onward: NDArray[np.floating]) -> NDArray[np.float64]:
    """Flow to one picture and on from there to the next, as one [H, W, 2]; NaN where it leaves the picture."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    u, v = x + flow[..., 0], y + flow[..., 1]
    return np.stack([flow[..., axis] + sampled(onward[..., axis], u, v) for axis in (0, 1)], axis=-1)


def edges(flow: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where motion breaks off between a pixel and those beside it [H, W]: in between, nothing moves like either."""
    known = np.where(np.isfinite(flow), flow, 0).astype(np.float32)
    bends = (cv2.filter2D(known, -1, kernel, borderType=cv2.BORDER_REPLICATE) for kernel in (_BEND, _BEND.T))
    return np.asarray(np.any([np.abs(bend) > _BREAK for bend in bends], axis=(0, -1)), bool)


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
    warping.off_lines(np.ascontiguousarray(matrix), points, onward, found)
    return found


def _textured(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    values, size = grey.astype(np.float32), (_PATCH, _PATCH)
    return np.asarray(cv2.blur(values * values, size) - cv2.blur(values, size) ** 2 > _CONTRAST**2, bool)

"""Where each pixel of a picture is in another one, and where that can be believed.

Dense optical flow by OpenCV's DIS (Kroeger et al., ECCV 2016), believed where it agrees forth and back by the rule of
Sundaram, Brox and Keutzer (ECCV 2010, equation 5), which also leaves out what is hidden in the other picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import loops
from .warping import sampled

SMALLEST = 12
"""Pixels that a picture's long side needs: less is no use to DIS."""
_RELATIVE, _ABSOLUTE = 0.01, 0.5  # of squared lengths, and squared pixels
_BEND, _BREAK = np.array([[1.0, -2.0, 1.0]]), 0.5  # pixels of flow that a straight line through three pixels misses
_OUTSIDE = (1e3, 1e3)  # what lies beyond the edge disagrees with anything


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
    loops.agreeing(forth, returned, _RELATIVE, _ABSOLUTE, found)
    return found


def positions(flow: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row [H, W] to which flow leads from each pixel; far outside where it is not finite."""
    height, width = flow.shape[:2]
    u, v = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    loops.followed(np.ascontiguousarray(flow), u, v)
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

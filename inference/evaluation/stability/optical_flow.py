"""Optical flow between two images, where it is reliable, and the static region.

Dense optical flow by OpenCV's DIS (Kroeger et al., ECCV 2016), reliable where forward and backward flow agree by the
rule of Sundaram, Brox and Keutzer (ECCV 2010, equation 5), which also excludes occlusions.

The static region moves in the image like a rigid scene before a camera: not at all where the camera is locked,
else along the epipolar lines of a fundamental matrix (Hartley and Zisserman, Multiple View Geometry, chapter 11),
fitted robustly (MAGSAC++, Barath et al., CVPR 2020) where the image has texture. Objects that move by less than half
a pixel per frame off those lines, or along them, count as static; so does a rigid moving object that fills most of the
image. The stricter homography of a rotating camera is not used: many near static points would fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...depth_maps import temporal
from . import warping
from .warping import sampled

SMALLEST = 12
"""Smallest long side of an image, in pixels, for DIS."""
_RELATIVE, _ABSOLUTE = 0.01, 0.5  # of squared lengths, and squared pixels
_BEND, _BREAK = np.array([[1.0, -2.0, 1.0]]), 0.5  # second difference of flow across a pixel, in pixels
_OUTSIDE = (1e3, 1e3)  # flow beyond the edge is never consistent
_CLOSE = 0.5  # pixels; the usual error of measured flow
_POINTS = 3000  # approximate number that models are fitted to
_FEWEST = 50
_STANDS, _LEAST_STANDING = 0.25, 0.4  # pixels, and share of the texture that moves by less under a locked camera
_LEAST_SHARE = 0.6  # of the texture, that must follow the epipolar lines; much does by chance
_CONTRAST, _PATCH = 2.0, 7  # least standard deviation in gray levels, and width of the patch in pixels
_SURE, _TRIALS = 0.999, 2000
Misses = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Points [N, 2] of two images to the distance, in pixels, of their motion from that of the static scene."""
NoStaticRegion = Literal["texture", "motion"]
"""Why there is no static region: too little texture, or no motion that much of the image shares."""


@dataclass(frozen=True, kw_only=True)
class FlowPair:
    """Optical flow between two images, in both directions.

    Attributes
    ----------
    forward, backward : [H, W, 2]
        Pixels to the right and downward, from the first image to the second and from the second to the first.
    reliable, reliable_backward : bool [H, W]
        Where `forward`, in the first image, and `backward`, in the second, are reliable.
    """

    forward: NDArray[np.floating]
    backward: NDArray[np.floating]
    reliable: NDArray[np.bool_]
    reliable_backward: NDArray[np.bool_]


def gray(image: NDArray) -> NDArray[np.uint8]:
    """An RGB image [H, W, 3], in [0, 1] or as integers, converted to gray for optical flow."""
    values = np.asarray(image)
    scale = 255 / np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 255
    shades = cv2.cvtColor(np.nan_to_num(values.astype(np.float32) * np.float32(scale)), cv2.COLOR_RGB2GRAY)
    return np.clip(np.round(shades), 0, 255).astype(np.uint8)


def flow_pair(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    *,
    start: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> FlowPair:
    """Measure flow between two gray images of one size, their long side at least `SMALLEST`, in both directions.

    `start` is initial flow, forward and backward, such as one chained over the images in between, for large motion.
    """
    there, back = (None, None) if start is None else start
    forward = temporal.flow(before, after, there, preset=cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward = temporal.flow(after, before, back, preset=cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return FlowPair(
        forward=forward,
        backward=backward,
        reliable=agreeing(forward, backward),
        reliable_backward=agreeing(backward, forward),
    )


def agreeing(forward: NDArray[np.float32], backward: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where `forward` and `backward` flow cancel out [H, W]."""
    u, v = positions(forward)
    returned = cv2.remap(backward, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE)
    found = np.empty(forward.shape[:2], bool)
    warping.agreeing(forward, returned, _RELATIVE, _ABSOLUTE, found)
    return found


def positions(flow: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row [H, W] that the flow of each pixel leads to; far outside where it is not finite."""
    height, width = flow.shape[:2]
    u, v = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    warping.followed(np.ascontiguousarray(flow), u, v)
    return u, v


def at(mask: NDArray[np.bool_], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.bool_]:
    """A mask, sampled at the pixels nearest to columns `u` and rows `v`; False outside the image."""
    return cv2.remap(mask.astype(np.uint8), u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0


def chained(flow: NDArray[np.floating], onward: NDArray[np.floating]) -> NDArray[np.float64]:
    """Concatenated flow to one image and from there to the next [H, W, 2]; NaN where it leaves the image."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    u, v = x + flow[..., 0], y + flow[..., 1]
    return np.stack([flow[..., axis] + sampled(onward[..., axis], u, v) for axis in (0, 1)], axis=-1)


def edges(flow: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Motion boundaries [H, W], across which flow must not be interpolated."""
    known = np.where(np.isfinite(flow), flow, 0).astype(np.float32)
    curvatures = (cv2.filter2D(known, -1, kernel, borderType=cv2.BORDER_REPLICATE) for kernel in (_BEND, _BEND.T))
    return np.asarray(np.any([np.abs(curvature) > _BREAK for curvature in curvatures], axis=(0, -1)), bool)


def static_region(
    flow_pair: FlowPair, before: NDArray[np.uint8], after: NDArray[np.uint8], moving: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | NoStaticRegion:
    """Where the first of two images is static and visible in the second [H, W].

    `moving` [H, W] is True on dynamic objects in the first one; None: they are found by their motion.
    """
    textured = _textured(before) & at(_textured(after), *positions(flow_pair.forward))
    if moving is not None:
        textured &= ~moving
    stride = max(1, round(float(np.sqrt(textured.size / _POINTS))))
    rows, columns = (stride * index for index in np.nonzero((textured & flow_pair.reliable)[::stride, ::stride]))
    if len(rows) < _FEWEST:
        return "texture"
    if moving is not None:
        return flow_pair.reliable & ~moving
    points = np.stack([columns, rows], axis=-1).astype(np.float64)
    followed = len(rows) / np.count_nonzero(textured[::stride, ::stride])
    model = _model(points, points + flow_pair.forward[rows, columns], followed)
    if model is None:
        return "motion"
    height, width = before.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    everywhere = np.stack([x, y], axis=-1).reshape(-1, 2)
    off = model(everywhere, everywhere + flow_pair.forward.reshape(-1, 2))
    return np.asarray(flow_pair.reliable & (off < _CLOSE).reshape(height, width), bool)


def _model(points: NDArray[np.float64], onward: NDArray[np.float64], followed: float) -> Misses | None:
    """The simplest motion that much of the image shares; None where there is none.

    `followed` is the share of the image's texture that could be tracked; the rest fits no motion.
    """
    if followed * np.mean(_displacement(points, onward) < _STANDS) >= _LEAST_STANDING:
        return _displacement
    try:
        lines, _ = cv2.findFundamentalMat(points, onward, cv2.USAC_MAGSAC, _CLOSE, _SURE, _TRIALS)
    except cv2.error:  # raised instead of returning None when its refinement fails
        return None
    if lines is None:
        return None
    moving = partial(_off_lines, lines[:3])
    return moving if followed * np.mean(moving(points, onward) < _CLOSE) >= _LEAST_SHARE else None


def _displacement(points: NDArray[np.float64], onward: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hypot(*(onward - points).T)


def _off_lines(
    matrix: NDArray[np.float64], points: NDArray[np.float64], onward: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sampson distance in pixels of pairs of points [N, 2] from a fundamental matrix."""
    found = np.empty(len(points), np.float64)
    warping.off_lines(np.ascontiguousarray(matrix), points, onward, found)
    return found


def _textured(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    values, size = gray.astype(np.float32), (_PATCH, _PATCH)
    return np.asarray(cv2.blur(values * values, size) - cv2.blur(values, size) ** 2 > _CONTRAST**2, bool)

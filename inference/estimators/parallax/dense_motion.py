"""Dense motion against the camera's motion: how far each pixel's path over several frames is from a static point's.

All places that a static point goes to lie where one depth along its ray takes it; that depth is fitted, and what is
left is motion of its own. A depth beyond infinity is none, so that a point that overtakes the horizon moves. Where the
image has no texture, as in the sky, flow is a guess and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled
from .pixel_paths import PixelPaths
from .view import Views

_FEWEST = 3  # frames that must have followed a pixel
_TRUSTED = 0.55  # trust of a path that counts
_CAPPED = 30.0  # pixels: larger errors count as this much
# error of a static pixel: pixels, and share of its way, as near points show those of a solve
_NOISE, _OF_PATH = 0.4, 0.05
_USUAL = 2.5  # times the median of an image's errors, that those of its static pixels are at most
_STILL, _MOVING = 1.0, 2.0  # such errors, below and above which a pixel is static or moves
_PATCH = 9  # pixels of the patches in which texture is measured
_TEXTURE = 1.5  # gray levels a pixel, in the direction in which a patch changes least, at which flow counts half


@dataclass(frozen=True)
class DenseMotion:
    """Votes of a frame's pixels, float32 [H, W], 0..1; both 0 where too little is known."""

    still: NDArray[np.float32]
    moving: NDArray[np.float32]


def dense_motion(
    paths: Sequence[PixelPaths], frame: int, views: Views, gray: NDArray[np.float32], *, most: float
) -> DenseMotion:
    """Test every pixel of a frame.

    Parameters
    ----------
    paths : sequence of PixelPaths
        To the frames around it.
    frame : int
    views : Views
        At the size of the paths.
    gray : float32 [H, W]
        The frame's image.
    most : float
        Largest inverse depth.
    """
    shape = gray.shape
    missed, path = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    known = np.zeros(shape, bool)
    if len(paths) >= _FEWEST:
        moves = [views.relative(frame, path.frame) for path in paths]
        _test(
            np.stack([path.there for path in paths]),
            np.stack([path.trust for path in paths]),
            np.stack([turn for turn, _ in moves]),
            np.stack([shift for _, shift in moves]),
            float(views.focal),
            float(views.center[0]),
            float(views.center[1]),
            most,
            missed,
            path,
            known,
        )
    error = missed / (_NOISE + _OF_PATH * path)
    error /= max(1.0, _USUAL * float(np.median(error[known]))) if known.any() else 1.0
    sure = texture(gray) * known
    moving = np.clip((error - _STILL) / (_MOVING - _STILL), 0, 1)
    return DenseMotion((sure * (error < _STILL)).astype(np.float32), (sure * moving).astype(np.float32))


def texture(gray: NDArray[np.float32], *, patch: int = _PATCH) -> NDArray[np.float32]:
    """How far a patch around each pixel determines flow, 0..1: the smaller eigenvalue of its structure tensor."""
    across, down = (cv2.Sobel(gray, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.blur(product, (patch, patch)) for product in (across**2, down**2, across * down))
    least = np.maximum((xx + yy) / 2 - np.sqrt((xx - yy) ** 2 / 4 + xy**2), 0)
    return np.asarray(least / (least + np.float32(_TEXTURE**2)), np.float32)


@compiled
def _test(there, trust, turns, shifts, focal, cx, cy, most, missed, path, known):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Fit an inverse depth in 0..most to each pixel's places ``there`` [K, H, W, 2]."""
    count, height, width = trust.shape
    ax, ay, bx, by, unit = np.empty(count), np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    for y in range(height):
        for x in range(width):
            used = 0
            longest = 0.0
            for k in range(count):
                rx, ry = (x - cx) / focal, (y - cy) / focal
                qz = turns[k, 2, 0] * rx + turns[k, 2, 1] * ry + turns[k, 2, 2]
                if trust[k, y, x] < _TRUSTED or qz < 1e-6:
                    continue
                qx = turns[k, 0, 0] * rx + turns[k, 0, 1] * ry + turns[k, 0, 2]
                qy = turns[k, 1, 0] * rx + turns[k, 1, 1] * ry + turns[k, 1, 2]
                u, v = there[k, y, x, 0] - cx, there[k, y, x, 1] - cy
                # with w the inverse depth: focal (q + w shift)_x = u (q + w shift)_z, likewise in y
                ax[used], ay[used] = focal * shifts[k, 0] - u * shifts[k, 2], focal * shifts[k, 1] - v * shifts[k, 2]
                bx[used], by[used] = u * qz - focal * qx, v * qz - focal * qy
                unit[used] = qz
                longest = max(longest, np.sqrt(bx[used] ** 2 + by[used] ** 2) / qz)
                used += 1
            path[y, x] = longest
            known[y, x] = used >= _FEWEST
            if used < _FEWEST:
                continue
            w = 0.0
            for turn in range(3):  # iteratively reweighted, after Cauchy, from plain least squares
                upper, lower = 0.0, 1e-12
                for k in range(used):
                    dx, dy = (ax[k] * w - bx[k]) / unit[k], (ay[k] * w - by[k]) / unit[k]
                    share = (1.0 if turn == 0 else 1.0 / (1.0 + dx * dx + dy * dy)) / (unit[k] * unit[k])
                    upper += share * (ax[k] * bx[k] + ay[k] * by[k])
                    lower += share * (ax[k] * ax[k] + ay[k] * ay[k])
                w = min(max(upper / lower, 0.0), most)
            total = 0.0
            for k in range(used):
                dx, dy = (ax[k] * w - bx[k]) / unit[k], (ay[k] * w - by[k]) / unit[k]
                total += min(dx * dx + dy * dy, _CAPPED * _CAPPED)
            missed[y, x] = np.sqrt(total / used)

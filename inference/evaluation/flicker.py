"""How much an estimate changes from frame to frame where nothing moves, told by true depth and poses."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .alignment import Alignment, Disparity, fitted, measured
from .protocols import PLAIN, Protocol
from .truth import Truth
from .warping import moved

_OCCLUDED = 0.05  # relative difference of true depth beyond which a warped pixel shows something else


def flicker(
    disparity: Disparity,
    truth: Truth,
    frames: Sequence[int],
    alignment: Alignment,
    protocol: Protocol = PLAIN,
) -> float | None:
    """Mean |next frame, warped - expected| / expected over static pixels; None where no pair of frames has poses.

    Only frames that follow each other in the truth are compared.
    """
    found: list[float] = []
    before: tuple[int, NDArray[np.float64]] | None = None
    for frame in frames:
        estimate = disparity(frame)
        if estimate is None:
            before = None
            continue
        depth = alignment.depth(fitted(estimate, truth.depth(frame).shape, protocol))
        if before is not None and before[0] == frame - 1:
            change = _change(truth, frame - 1, before[1], depth, protocol)
            found += [] if change is None else [change]
        before = frame, depth
    return float(np.mean(found)) if found else None


def _change(
    truth: Truth, frame: int, depth: NDArray[np.float64], after: NDArray[np.float64], protocol: Protocol
) -> float | None:
    """How much the estimate after `frame` differs from what the estimate at `frame` lets expect there.

    The true depth and poses tell which pixel of the next frame shows a pixel's place, and whether it is hidden there;
    the estimate itself, moved by the poses, tells the depth to expect.
    """
    first, second = truth.poses[frame], truth.poses[frame + 1]
    if first is None or second is None or truth.matrix is None:
        return None
    move = np.linalg.inv(second) @ first
    true, true_after = truth.depth(frame), truth.depth(frame + 1)
    height, width = true.shape
    (fx, _, cx), (_, fy, cy) = truth.matrix[0], truth.matrix[1]
    y, x = np.mgrid[:height, :width]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones((height, width))], axis=-1)
    there = moved(rays * true[..., None], move)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.nan_to_num(fx * there[..., 0] / there[..., 2] + cx, nan=-9, posinf=-9, neginf=-9).astype(np.float32)
        v = np.nan_to_num(fy * there[..., 1] / there[..., 2] + cy, nan=-9, posinf=-9, neginf=-9).astype(np.float32)
    shown = cv2.remap(true_after, u, v, cv2.INTER_NEAREST, borderValue=0)
    warped = 1 / np.maximum(cv2.remap(1 / after, u, v, cv2.INTER_LINEAR, borderValue=0), 1e-9)
    expected = moved(rays * depth[..., None], move)[..., 2]
    moving = truth.moving(frame)
    static = measured(true, protocol) & measured(shown, protocol) & (expected > 0) & np.isfinite(warped)
    static &= (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    static &= np.abs(shown - there[..., 2]) < _OCCLUDED * there[..., 2]
    if moving is not None:
        static &= ~moving
    if not static.any():
        return None
    return float(np.mean(np.abs(warped[static] - expected[static]) / expected[static]))

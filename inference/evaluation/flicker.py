"""How much an estimate changes from frame to frame where nothing moves, told by true depth and poses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .alignment import Alignment, Disparity, fitted, known
from .point_pairs import away_from, same_surface
from .protocols import PLAIN, Protocol
from .truth import Truth
from .warping import lift, moved, projected, sampled


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

    The true depth and poses tell where the next frame shows a pixel's place, and whether it is hidden there or lies at
    the edge of something else, whose depth would be mixed with its own; the estimate itself, moved by the poses, tells
    the depth to expect.
    """
    first, second = truth.poses[frame], truth.poses[frame + 1]
    if first is None or second is None or truth.matrix is None:
        return None
    move = np.linalg.inv(second) @ first
    true, true_after = (known(truth.depth(each), protocol) for each in (frame, frame + 1))
    y, x = np.mgrid[: true.shape[0], : true.shape[1]]
    there = moved(lift(true, x, y, truth.matrix), move)
    place = projected(there, truth.matrix)
    u, v = place[..., 0], place[..., 1]
    warped = 1 / sampled(1 / after, u, v)
    expected = moved(lift(depth, x, y, truth.matrix), move)[..., 2]
    moving, moving_after = truth.moving(frame), truth.moving(frame + 1)
    with np.errstate(invalid="ignore"):
        static = np.isfinite(true) & (expected > 0) & np.isfinite(warped)
    column, row = (np.nan_to_num(at, nan=-9).astype(np.float32) for at in (u, v))
    static &= same_surface(true_after, there[..., 2], column, row)
    if moving is not None and moving_after is not None:
        static &= ~moving & away_from(moving_after, column, row)
    if not static.any():
        return None
    return float(np.mean(np.abs(warped[static] - expected[static]) / expected[static]))

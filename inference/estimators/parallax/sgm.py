"""Semi-global matching: the depth of each pixel, regularized by its neighbors (Hirschmüller, PAMI 2008).

Costs are summed along eight straight paths through the image, on which a change of depth by one plane has a small
penalty and a jump a larger one, reduced at edges of the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...common.compiled import compiled

STEP_PENALTY = 0.02  # P1: a change by one plane, as on a slanted surface
_JUMP_PENALTY = 1.0  # P2: a jump, divided where the plate has an edge
_EDGE = 12.0  # gray levels over which the jump becomes cheaper by e
_LEAST_JUMP = 1.5  # P2 is at least so many P1
_NEVER = np.float32(1e30)  # a cost that is never the least
_LANES = 16
_SURE = 0.02  # margin from which on a match is sure


@compiled
def _relax(cost, before, floor, jump, step, low, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """One step along a path: ``out`` from ``before``, whose minimum is ``floor``; returns out's minimum.

    Both are [D + 2]: beyond the first and the last plane is a cost that is never the least. ``low`` [_LANES] is for
    minima of every so many planes, which the compiler takes by vector instructions.
    """
    planes = cost.shape[0]
    ceiling = floor + jump
    for d in range(planes):
        best = min(min(before[d], before[d + 2]) + step, before[d + 1], ceiling)
        out[d + 1] = cost[d] + best - floor
    low[:] = _NEVER
    whole = planes - planes % _LANES
    for first in range(1, whole, _LANES):
        for lane in range(_LANES):
            low[lane] = min(low[lane], out[first + lane])
    lowest = _NEVER
    for lane in range(_LANES):
        lowest = min(lowest, low[lane])
    for d in range(whole + 1, planes + 1):
        lowest = min(lowest, out[d])
    return lowest


@compiled
def _sweep_paths(cost, guide, step, jump_max, edge, jump_min, total):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    """Add to ``total`` the four paths that come from the left and from above."""
    height, width, planes = cost.shape
    # Per direction (left, upper left, up, upper right) the row above and this row; a path starts with zeros outside.
    rows = np.full((4, 2, width, planes + 2), _NEVER)
    floors = np.zeros((4, 2, width), np.float32)
    start = np.full(planes + 2, _NEVER)
    start[1:-1] = 0
    low = np.empty(_LANES, np.float32)
    zero = np.float32(0)
    offsets = (-1, -1, 0, 1)
    for y in range(height):
        now, above = y % 2, (y + 1) % 2
        for x in range(width):
            for k in range(4):
                px = x + offsets[k]
                side = now if k == 0 else above
                out = rows[k, now, x]
                if px < 0 or px >= width or (k > 0 and y == 0):
                    floors[k, now, x] = _relax(cost[y, x], start, zero, jump_min, step, low, out)
                else:
                    py = y if k == 0 else y - 1
                    contrast = abs(guide[y, x] - guide[py, px])
                    jump = max(jump_max * np.exp(-contrast / edge), jump_min)
                    floors[k, now, x] = _relax(
                        cost[y, x], rows[k, side, px], floors[k, side, px], np.float32(jump), step, low, out
                    )
            sum_of = total[y, x]
            a, b, c, e = rows[0, now, x], rows[1, now, x], rows[2, now, x], rows[3, now, x]
            for d in range(planes):
                sum_of[d] += a[d + 1] + b[d + 1] + c[d + 1] + e[d + 1]


def aggregate(cost: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum costs along the eight paths.

    Parameters
    ----------
    cost : float32 [H, W, D]
        0..1.
    guide : float32 [H, W]
        The gray image, 0..255.

    Returns
    -------
    float32 [H, W, D]
        The mean over the paths.
    """
    total = np.zeros_like(cost)
    step = np.float32(STEP_PENALTY)
    settings = (step, np.float32(_JUMP_PENALTY), np.float32(_EDGE), np.float32(_LEAST_JUMP * STEP_PENALTY))
    _sweep_paths(cost, guide, *settings, total)
    turned = total[::-1, ::-1]
    _sweep_paths(np.ascontiguousarray(cost[::-1, ::-1]), np.ascontiguousarray(guide[::-1, ::-1]), *settings, turned)
    total *= np.float32(1 / 8)
    return total


@compiled
def _pick(total, cost, inverse_depths, outside, chosen, margin, match):  # type: ignore[no-untyped-def]  # noqa: PLR0917  (compiled)
    height, width, planes = total.shape
    spacing = inverse_depths[1] - inverse_depths[0]
    for y in range(height):
        for x in range(width):
            best = 0
            for d in range(1, planes):
                if total[y, x, d] < total[y, x, best]:
                    best = d
            lowest = total[y, x, best]
            second = np.float32(1e30)
            seen = 0
            for d in range(planes):
                if cost[y, x, d] != outside:
                    seen += 1
                if abs(d - best) > 2:
                    second = min(second, total[y, x, d])
            offset = 0.0
            if 0 < best < planes - 1:
                left, right = total[y, x, best - 1], total[y, x, best + 1]
                curve = left + right - 2 * lowest
                if curve > 0:
                    offset = 0.5 * (left - right) / curve
            chosen[y, x] = inverse_depths[best] + offset * spacing
            margin[y, x] = (second - lowest) * (seen / planes) ** 2
            match[y, x] = cost[y, x, best]


def winners(
    total: NDArray[np.float32],
    cost: NDArray[np.float32],
    inverse_depths: NDArray[np.float64],
    *,
    outside: float = np.nan,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The best plane of each pixel, refined by a parabola through its neighbors.

    Parameters
    ----------
    total, cost : float32 [H, W, D]
        Of `aggregate`, and before it.
    inverse_depths : float64 [D]
    outside : float
        The cost of planes on which no other frame sees the pixel.

    Returns
    -------
    inverse_depth : float32 [H, W]
    margin : float32 [H, W]
        By how much the next best plane, not directly beside it, is worse; 0 for a flat cost. Less where some planes
        are not seen, each of which might be the right one, as at borders that the camera moves towards or past.
    match : float32 [H, W]
        The matching cost there, 0..1.
    """
    shape = total.shape[:2]
    chosen, margin, match = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    _pick(total, cost, inverse_depths, np.float32(outside), chosen, margin, match)
    return chosen, margin, match


def sure(margin: NDArray[np.float32]) -> NDArray[np.float32]:
    """How sure a match is, 0..1, by its margin; see `winners`."""
    return np.clip(margin / np.float32(_SURE), 0, 1)

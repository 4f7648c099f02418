"""Compiled loops over pixels, several times as fast as the same in NumPy, which makes an array of every step.

Without fast mathematics: NaN means that there is no value. See `compiled_code` for where machine code is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiled_code import keep_in_data_folder

keep_in_data_folder()

from numba import njit  # noqa: E402 - after the line above: it reads the environment when it is imported

_FAR = -1e3  # where a flow leads that is not known: outside of any picture


@njit(cache=True, nogil=True)
def bilinear(values: NDArray, u: NDArray, v: NDArray, found: NDArray) -> None:
    """A map [H, W] at columns `u` and rows `v` [N] into `found`; see `warping.sampled`."""
    height, width = values.shape
    right, below = min(1, width - 1), min(1, height - 1)
    for index in range(len(u)):
        x, y = u[index], v[index]
        if not (x >= 0 and x <= width - 1 and y >= 0 and y <= height - 1):
            found[index] = np.nan
            continue
        column, row = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
        along, down = x - column, y - row
        total = 0.0
        for under in range(2):
            for beside in range(2):
                weight = (along if beside else 1 - along) * (down if under else 1 - down)
                if weight > 0:  # without weight, NaN does not count
                    total += weight * values[row + under * below, column + beside * right]
        found[index] = total


@njit(cache=True, nogil=True)
def followed(flow: NDArray, u: NDArray, v: NDArray) -> None:
    """Column and row [H, W] to which a flow [H, W, 2] leads from each pixel."""
    height, width = flow.shape[:2]
    for y in range(height):
        for x in range(width):
            along, down = flow[y, x, 0], flow[y, x, 1]
            known = np.isfinite(along) and np.isfinite(down)
            u[y, x] = np.float64(x) + along if known else _FAR
            v[y, x] = np.float64(y) + down if known else _FAR


@njit(cache=True, nogil=True)
def off_lines(matrix: NDArray, points: NDArray, onward: NDArray, found: NDArray) -> None:
    """Sampson distance of pairs of points [N, 2] from a fundamental matrix; see `still_parts`."""
    for index in range(len(points)):
        x, y = points[index]
        u, v = onward[index]
        a = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
        b = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
        c = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
        behind = matrix[0, 0] * u + matrix[1, 0] * v + matrix[2, 0]
        below = matrix[0, 1] * u + matrix[1, 1] * v + matrix[2, 1]
        slope = a * a + b * b + behind * behind + below * below
        found[index] = abs(u * a + v * b + c) / np.sqrt(max(slope, 1e-30))


@njit(cache=True, nogil=True)
def agreeing(forth: NDArray, returned: NDArray, relative: float, absolute: float, found: NDArray) -> None:
    """Where a flow [H, W, 2] and the way back from where it leads cancel out; see `optical_flow.agreeing`."""
    height, width = forth.shape[:2]
    for y in range(height):
        for x in range(width):
            along, down = forth[y, x, 0], forth[y, x, 1]
            back, up = returned[y, x, 0], returned[y, x, 1]
            missed = (along + back) ** 2 + (down + up) ** 2
            length = along**2 + down**2 + back**2 + up**2
            found[y, x] = missed < relative * length + absolute


@njit(cache=True, nogil=True)
def keep_smooth(smooth: NDArray, smooth_there: NDArray, flow: NDArray, moves: float, values: NDArray) -> None:
    """Set values [H, W], sampled where a flow leads, to NaN where either end is no smooth place, unless nothing moves.

    What is sampled outside of the picture is NaN already.
    """
    height, width = values.shape
    for y in range(height):
        for x in range(width):
            if np.isnan(values[y, x]):
                continue
            along, down = np.float64(flow[y, x, 0]), np.float64(flow[y, x, 1])
            if np.hypot(along, down) <= moves:
                continue
            if not (smooth[y, x] and smooth_there[int(np.rint(y + down)), int(np.rint(x + along))]):
                values[y, x] = np.nan

"""Unprojection and projection of pixels, and sampling between pixels.

The loops over pixels are compiled, which is several times faster than NumPy with its temporary arrays. Fast
mathematics is off: NaN means that there is no value.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.compiled import exact

_FAR = -1e3  # target of unknown flow: outside any image


def lift(
    depth: NDArray[np.floating],
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    matrix: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Unproject pixels at columns `u` and rows `v` with Z = `depth` to points [..., 3] in camera coordinates."""
    x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    return np.stack([x * depth, y * depth, np.asarray(depth, np.float64)], axis=-1)


def moved(points: NDArray[np.float64], motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [..., 3] under a rigid motion [4, 4]."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]  # by component: 20 times faster than a matrix product
    return np.stack([turn[0] * x + turn[1] * y + turn[2] * z + turn[3] for turn in motion[:3]], axis=-1)


def projected(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column and row [..., 2] of points in camera coordinates; NaN for what is behind the camera."""
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    u, v = (matrix[axis, axis] * points[..., axis] / z + matrix[axis, 2] for axis in (0, 1))
    return np.stack([u, v], axis=-1)


Corner = tuple[NDArray[np.intp], NDArray[np.float64]]
"""One of the four pixels around each position: its index in the flattened map, and its weight."""
_NO_WEIGHT = 1e-3  # weight below which a pixel is ignored


def sampled(values: NDArray[np.floating], u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map at columns `u` and rows `v`, bilinear in float64; NaN where one of the pixels around is NaN or outside."""
    known = np.ascontiguousarray(values, None if values.dtype in (np.float32, np.float64) else np.float64)
    columns, rows = (np.ascontiguousarray(at, np.float64) for at in np.broadcast_arrays(u, v))
    found = np.empty(columns.size, np.float64)
    bilinear(known, columns.ravel(), rows.ravel(), found)
    return found.reshape(np.shape(u))


def bounds_of_sampled(
    values: NDArray[np.floating], u: NDArray[np.floating], v: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimum and maximum of the pixels that `sampled` averages; NaN where it is NaN, too."""
    inside, corners = _corners(values.shape, u, v)
    flat = values.ravel()
    low, high = np.full(np.shape(inside), np.inf), np.full(np.shape(inside), -np.inf)
    for index, weight in corners:
        value, counts = flat.take(index), weight > _NO_WEIGHT
        low, high = np.where(counts, np.minimum(low, value), low), np.where(counts, np.maximum(high, value), high)
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def bounds_around(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Minimum and maximum of the finite values in each pixel's 3x3 neighborhood: inf, -inf if there are none."""
    kernel, known = np.ones((3, 3), np.uint8), np.isfinite(values)
    low = cv2.erode(np.where(known, values, np.inf).astype(np.float32), kernel)
    high = cv2.dilate(np.where(known, values, -np.inf).astype(np.float32), kernel)
    return low, high


def _corners(
    shape: tuple[int, ...], u: NDArray[np.floating], v: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], list[Corner]]:
    """Whether a position is inside the image, and the four pixels around it."""
    height, width = shape
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)  # False for NaN
    x, y = np.where(inside, u, 0.0).astype(np.float64), np.where(inside, v, 0.0).astype(np.float64)
    column, row = np.minimum(x.astype(np.intp), max(width - 2, 0)), np.minimum(y.astype(np.intp), max(height - 2, 0))
    along, down = x - column, y - row
    corner, right, below = row * width + column, min(1, width - 1), width * min(1, height - 1)
    return np.asarray(inside, bool), [
        (corner, (1 - along) * (1 - down)),
        (corner + right, along * (1 - down)),
        (corner + below, (1 - along) * down),
        (corner + right + below, along * down),
    ]


@exact
def bilinear(values: NDArray, u: NDArray, v: NDArray, found: NDArray) -> None:
    """A map [H, W] at columns `u` and rows `v` [N] into `found`; see `sampled`."""
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
                if weight > 0:  # a NaN of weight 0 does not count
                    total += weight * values[row + under * below, column + beside * right]
        found[index] = total


@exact
def followed(flow: NDArray, u: NDArray, v: NDArray) -> None:
    """Column and row [H, W] that a flow [H, W, 2] leads to from each pixel."""
    height, width = flow.shape[:2]
    for y in range(height):
        for x in range(width):
            along, down = flow[y, x, 0], flow[y, x, 1]
            known = np.isfinite(along) and np.isfinite(down)
            u[y, x] = np.float64(x) + along if known else _FAR
            v[y, x] = np.float64(y) + down if known else _FAR


@exact
def off_lines(matrix: NDArray, points: NDArray, onward: NDArray, found: NDArray) -> None:
    """Sampson distance of pairs of points [N, 2] from a fundamental matrix; see `optical_flow`."""
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


@exact
def agreeing(forward: NDArray, returned: NDArray, relative: float, absolute: float, found: NDArray) -> None:
    """Where a flow [H, W, 2] and the sampled backward flow cancel out; see `optical_flow.agreeing`."""
    height, width = forward.shape[:2]
    for y in range(height):
        for x in range(width):
            along, down = forward[y, x, 0], forward[y, x, 1]
            backward, up = returned[y, x, 0], returned[y, x, 1]
            missed = (along + backward) ** 2 + (down + up) ** 2
            length = along**2 + down**2 + backward**2 + up**2
            found[y, x] = missed < relative * length + absolute


@exact
def keep_smooth(smooth: NDArray, smooth_there: NDArray, flow: NDArray, moves: float, values: NDArray) -> None:
    """Set values [H, W], sampled along a flow, to NaN where either end is not smooth, unless nothing moves.

    Samples outside the image are NaN already.
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

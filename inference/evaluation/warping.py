"""From pixels to points in space and back, and pictures sampled between their pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from . import loops


def lift(
    depth: NDArray[np.floating],
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    matrix: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Points [..., 3] in camera coordinates that pixels at columns `u` and rows `v` show at Z = `depth`."""
    x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    return np.stack([x * depth, y * depth, np.asarray(depth, np.float64)], axis=-1)


def moved(points: NDArray[np.float64], motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [..., 3] under a rigid motion [4, 4]."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]  # by coordinates: 20 times faster than a matrix product
    return np.stack([turn[0] * x + turn[1] * y + turn[2] * z + turn[3] for turn in motion[:3]], axis=-1)


def projected(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column and row [..., 2] of points in camera coordinates; NaN for what is behind the camera."""
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    u, v = (matrix[axis, axis] * points[..., axis] / z + matrix[axis, 2] for axis in (0, 1))
    return np.stack([u, v], axis=-1)


Corner = tuple[NDArray[np.intp], NDArray[np.float64]]
"""One of the four pixels around each place: its index in the flattened map, and its weight."""
_NO_WEIGHT = 1e-3  # of a pixel, below which it need not be looked at


def sampled(values: NDArray[np.floating], u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map at columns `u` and rows `v`, bilinear in float64; NaN where one of the pixels around is NaN or outside."""
    known = np.ascontiguousarray(values, None if values.dtype in (np.float32, np.float64) else np.float64)
    columns, rows = (np.ascontiguousarray(at, np.float64) for at in np.broadcast_arrays(u, v))
    found = np.empty(columns.size, np.float64)
    loops.bilinear(known, columns.ravel(), rows.ravel(), found)
    return found.reshape(np.shape(u))


def bounds_of_sampled(
    values: NDArray[np.floating], u: NDArray[np.floating], v: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest of the pixels that `sampled` averages; NaN where it is NaN, too."""
    inside, corners = _corners(values.shape, u, v)
    flat = values.ravel()
    low, high = np.full(np.shape(inside), np.inf), np.full(np.shape(inside), -np.inf)
    for index, weight in corners:
        value, counts = flat.take(index), weight > _NO_WEIGHT
        low, high = np.where(counts, np.minimum(low, value), low), np.where(counts, np.maximum(high, value), high)
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def bounds_around(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and greatest value of each pixel and the eight around it, of those that are known: inf, -inf if none is."""
    kernel, known = np.ones((3, 3), np.uint8), np.isfinite(values)
    low = cv2.erode(np.where(known, values, np.inf).astype(np.float32), kernel)
    high = cv2.dilate(np.where(known, values, -np.inf).astype(np.float32), kernel)
    return low, high


def _corners(
    shape: tuple[int, ...], u: NDArray[np.floating], v: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], list[Corner]]:
    """Where a place is in the picture, and the four pixels around it."""
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

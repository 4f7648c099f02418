"""Upsampling of maps to the plate's size, with edges that follow the plate's.

Joint bilateral upsampling (Kopf, Cohen, Lischinski, Uyttendaele, "Joint Bilateral Upsampling", ACM Transactions on
Graphics 26(3), 2007, eq. 3): for the full-size pixel p, the small map's pixels q in a window around it have the
weights

    w(q) = exp(-|q - p|^2 / (2 s_d^2)) exp(-|I(p) - I(q)|^2 / (2 s_r^2)),

I being the plate (at q: averaged over the small pixel). Two things differ from the paper, because the maps are
surfaces and not images:

- A pixel lies on one side of a step, never between. Where the window contains a step of the first map, pixels q far
  from its weighted median in w lose their weight.
- The value is that of the local plane at p, fitted by least squares with these weights, instead of the local
  mean (local linear regression; Fan and Gijbels, "Local Polynomial Modeling and Its Applications", 1996, section
  2.3), so that slanted surfaces do not become staircases. It is clamped to the values with weight.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

DISTANCE = 0.9
"""s_d, in pixels of the small map."""
COLOR = 0.1
"""s_r, in display-referred values of 0 to 1 over the three channels."""
_RADIUS = 2
"""Half the window, in pixels of the small map."""
_FLOOR = 1e-3
"""Added to the weight of a color, for pixels whose color does not occur in the window."""
_STEP = 0.1
"""Values that differ by this share of the larger one are a step."""
_SIDE = 0.25
"""Standard deviation of the weight around the median, as a share of the step."""
_RIDGE = 0.02
"""Ridge of the plane's normal equations: where few pixels have weight, the plane is nearly their mean."""
_COUNTED = 0.01
"""Share of the largest weight from which on a pixel's value bounds the result."""


def upsample(maps: tuple[NDArray[np.float32], ...], plate: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Upsample maps to the size of an image whose edges they should follow.

    Parameters
    ----------
    maps : tuple of [h, w] float32
        Maps of the same frame; the steps of the first one apply to all of them.
    plate : [H, W, 3] float32
        Display-referred RGB, 0 to 1; larger than the maps, or smaller by no more than the rounding of a working size.

    Returns
    -------
    tuple of [H, W] float32
        Every value lies within those of the map's pixels around it.
    """
    height, width = plate.shape[:2]
    small = np.stack(maps).astype(np.float32, copy=False)
    if small.shape[1:] == (height, width):
        return maps
    plate = plate.astype(np.float32, order="C", copy=False)
    guide = cv2.resize(plate, (small.shape[2], small.shape[1]), interpolation=cv2.INTER_AREA)
    result = np.empty((len(maps), height, width), np.float32)
    threads = min(os.cpu_count() or 1, 8)
    bounds = np.linspace(0, height, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda rows: _fill(small, guide, plate, result, *rows), itertools.pairwise(bounds)))
    return tuple(result)


@njit(cache=True, nogil=True)
def _fill(small, guide, plate, result, first, last):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Fill the rows `first` to `last` - 1 of `result`."""
    count, h, w = small.shape
    height, width = plate.shape[:2]
    size = (2 * _RADIUS + 1) ** 2
    at, weights, values = np.empty((size, 2), np.int64), np.empty(size), np.empty(size)
    order = np.empty(size, np.int64)
    for y in range(first, last):
        v = (y + 0.5) * h / height - 0.5  # the full-size pixel's center on the small map
        for x in range(width):
            u = (x + 0.5) * w / width - 0.5
            taken = _weigh(guide, plate[y, x], v, u, at, weights)
            for k in range(taken):
                values[k] = small[0, at[k, 0], at[k, 1]]
            low, high = _bounds(values[:taken], weights[:taken])
            if high - low > _STEP * max(abs(low), abs(high)):
                _choose_side(values[:taken], weights[:taken], order[:taken], _SIDE * (high - low))
            for m in range(count):
                for k in range(taken):
                    values[k] = small[m, at[k, 0], at[k, 1]]
                result[m, y, x] = _plane(values[:taken], weights[:taken], at, v, u)


@njit(cache=True, nogil=True)
def _weigh(guide, color, v, u, at, weights):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Fill in the small map's pixels around (v, u) and their weights; return their number."""
    h, w = guide.shape[:2]
    near, alike = -0.5 / (DISTANCE * DISTANCE), -0.5 / (COLOR * COLOR)
    top, left = int(np.floor(v + 0.5)) - _RADIUS, int(np.floor(u + 0.5)) - _RADIUS
    taken = 0
    for j in range(max(top, 0), min(top + 2 * _RADIUS + 1, h)):
        for i in range(max(left, 0), min(left + 2 * _RADIUS + 1, w)):
            difference = 0.0
            for c in range(3):
                difference += (color[c] - guide[j, i, c]) ** 2
            at[taken, 0], at[taken, 1] = j, i
            distance = (j - v) ** 2 + (i - u) ** 2
            weights[taken] = np.exp(near * distance) * (np.exp(alike * difference) + _FLOOR)
            taken += 1
    return taken


@njit(cache=True, nogil=True)
def _bounds(values, weights):  # type: ignore[no-untyped-def]
    """Smallest and largest of the values that count."""
    least = _COUNTED * weights.max()
    low, high = np.inf, -np.inf
    for k in range(len(values)):
        if weights[k] >= least:
            low, high = min(low, values[k]), max(high, values[k])
    return low, high


@njit(cache=True, nogil=True)
def _choose_side(values, weights, order, deviation):  # type: ignore[no-untyped-def]
    """Remove the weight of values on the other side of a step than the weighted median."""
    for k in range(len(values)):  # by insertion: there are 25
        j = k
        while j > 0 and values[order[j - 1]] > values[k]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = k
    half, below, k = weights.sum() / 2, 0.0, -1
    while below < half and k < len(values) - 1:
        k += 1
        below += weights[order[k]]
    median = values[order[k]]
    for k in range(len(values)):
        weights[k] *= np.exp(-0.5 * ((values[k] - median) / deviation) ** 2)


@njit(cache=True, nogil=True)
def _plane(values, weights, at, v, u):  # type: ignore[no-untyped-def]
    """The value at (v, u) of the plane through the values, clamped to those that count."""
    total = sx = sy = sv = 0.0
    for k in range(len(values)):
        total += weights[k]
        sy += weights[k] * (at[k, 0] - v)
        sx += weights[k] * (at[k, 1] - u)
        sv += weights[k] * values[k]
    cx, cy, mean = sx / total, sy / total, sv / total
    axx = ayy = _RIDGE
    axy = bx = by = 0.0
    for k in range(len(values)):
        weight, value = weights[k] / total, values[k] - mean
        dy, dx = at[k, 0] - v - cy, at[k, 1] - u - cx
        axx += weight * dx * dx
        axy += weight * dx * dy
        ayy += weight * dy * dy
        bx += weight * value * dx
        by += weight * value * dy
    determinant = axx * ayy - axy * axy
    value = mean - (cx * (ayy * bx - axy * by) + cy * (axx * by - axy * bx)) / determinant
    low, high = _bounds(values, weights)
    return min(max(value, low), high)

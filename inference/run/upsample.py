"""Bringing maps to the plate's size so that their edges follow the plate's.

Joint bilateral upsampling (Kopf, Cohen, Lischinski, Uyttendaele, "Joint Bilateral Upsampling", ACM Transactions on
Graphics 26(3), 2007, eq. 3) with a local plane in the place of the local mean (local linear regression; Fan and
Gijbels, "Local Polynomial Modelling and Its Applications", 1996, section 2.3), so that slanted surfaces do not
become staircases: for the full-size pixel p the plane a + b·(q - p) is fitted to the small map's values m(q) in a
window around p by least squares with the weights

    w(q) = exp(-|q - p|^2 / (2 s_d^2)) exp(-|I(p) - I(q)|^2 / (2 s_r^2)),

I being the plate (at q: averaged over the small pixel), and its value a at p, clamped to the values that took part,
is the result.
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
COLOUR = 0.06
"""s_r, in display-referred values of 0 to 1 over the three channels."""
_RADIUS = 2
"""Half the window, in pixels of the small map."""
_RIDGE = 0.02
"""Added to the plane's normal equations, as a share of the weight: where few pixels agree in colour, their mean."""
_COUNTED = 0.01
"""Share of the largest weight from which on a pixel bounds the result."""


def upsample(maps: tuple[NDArray[np.float32], ...], plate: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Bring maps to the size of a picture whose edges they should follow.

    Parameters
    ----------
    maps : tuple of [h, w] float32
        Maps of the same frame and size; edges of all of them follow the plate.
    plate : [H, W, 3] float32
        Display-referred RGB, 0 to 1, at least as large as the maps.

    Returns
    -------
    tuple of [H, W] float32
        Every value lies within those of the map's pixels around it.
    """
    height, width = plate.shape[:2]
    small = np.ascontiguousarray(np.stack(maps), np.float32)
    if small.shape[1:] == (height, width):
        return maps
    plate = np.ascontiguousarray(plate, np.float32)
    guide = cv2.resize(plate, (small.shape[2], small.shape[1]), interpolation=cv2.INTER_AREA).astype(np.float32)
    result = np.empty((len(maps), height, width), np.float32)
    threads = min(os.cpu_count() or 1, 8)
    bounds = np.linspace(0, height, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda rows: _rows(small, guide, plate, result, rows[0], rows[1]), itertools.pairwise(bounds)))
    return tuple(result)


@njit(cache=True, nogil=True)
def _rows(  # noqa: PLR0915, PLR0917  compiled: one loop, plain arguments
    small: NDArray[np.float32],
    guide: NDArray[np.float32],
    plate: NDArray[np.float32],
    result: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Fill the rows `first` to `last` - 1 of `result`."""
    count, h, w = small.shape
    height, width = plate.shape[:2]
    near = -0.5 / (DISTANCE * DISTANCE)
    alike = -0.5 / (COLOUR * COLOUR)
    side = 2 * _RADIUS + 1
    weights = np.empty(side * side)
    rhs = np.empty((count, 3))
    for y in range(first, last):
        v = (y + 0.5) * h / height - 0.5  # the full-size pixel's centre on the small map
        top = int(np.floor(v + 0.5)) - _RADIUS
        for x in range(width):
            u = (x + 0.5) * w / width - 0.5
            left = int(np.floor(u + 0.5)) - _RADIUS
            s0 = sx = sy = sxx = sxy = syy = 0.0
            rhs[:] = 0.0
            largest = 0.0
            k = 0
            for j in range(top, top + side):
                for i in range(left, left + side):
                    weights[k] = 0.0
                    if 0 <= j < h and 0 <= i < w:
                        dy, dx = j - v, i - u
                        difference = 0.0
                        for c in range(3):
                            d = plate[y, x, c] - guide[j, i, c]
                            difference += d * d
                        # the floor keeps a pixel whose colour is met nowhere around from having no weight at all
                        weight = np.exp(near * (dx * dx + dy * dy)) * (np.exp(alike * difference) + 1e-6)
                        weights[k] = weight
                        largest = max(largest, weight)
                        s0 += weight
                        sx += weight * dx
                        sy += weight * dy
                        sxx += weight * dx * dx
                        sxy += weight * dx * dy
                        syy += weight * dy * dy
                        for m in range(count):
                            value = weight * small[m, j, i]
                            rhs[m, 0] += value
                            rhs[m, 1] += value * dx
                            rhs[m, 2] += value * dy
                    k += 1
            # The plane around the weighted centre, its slope held by the ridge: value at p is mean - slope . centre
            cx, cy = sx / s0, sy / s0
            axx = sxx / s0 - cx * cx + _RIDGE
            axy = sxy / s0 - cx * cy
            ayy = syy / s0 - cy * cy + _RIDGE
            determinant = axx * ayy - axy * axy
            for m in range(count):
                mean = rhs[m, 0] / s0
                bx = rhs[m, 1] / s0 - mean * cx
                by = rhs[m, 2] / s0 - mean * cy
                slope_x = (ayy * bx - axy * by) / determinant
                slope_y = (axx * by - axy * bx) / determinant
                value = mean - slope_x * cx - slope_y * cy
                low, high = np.inf, -np.inf
                k = 0
                for j in range(top, top + side):
                    for i in range(left, left + side):
                        if weights[k] >= _COUNTED * largest:
                            low = min(low, small[m, j, i])
                            high = max(high, small[m, j, i])
                        k += 1
                result[m, y, x] = min(max(value, low), high)

"""Maps at the plate's size, with edges that follow the plate's and with nothing between the two sides of an edge.

Where a map has no edge, it is resized bilinearly, which is exact for planes: those are linear in disparity over the
image. Around edges it is joint bilateral upsampling (Kopf, Cohen, Lischinski, Uyttendaele, "Joint Bilateral
Upsampling", ACM Transactions on Graphics 26(3), 2007, eq. 3): for the full-size pixel p, the small map's pixels q in a
window around it have the weights

    w(q) = exp(-|q - p|^2 / (2 s_d^2)) exp(-|I(p) - I(q)|^2 / (2 s_r^2)),

I being the plate (at q: averaged over the small pixel). Three things differ from the paper, because the maps are
surfaces and not images:

- A pixel lies on one side of a step, never between. Where the window contains a step of the first map, pixels q far
  from its weighted median in w lose their weight.
- The small map's own pixels may lie between: estimators blur their edges, and so does whoever resizes a map. Pixels on
  the ramp of such an edge (`_ramps`) have no say; those beside it decide, in a window that reaches them.
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
from numpy.typing import NDArray

from ..common.compiled import exact

DISTANCE = 0.9
"""s_d, in pixels of the small map."""
COLOR = 0.1
"""s_r, in display-referred values of 0 to 1 over the three channels."""
FRINGE = 2
"""Pixels between the sides of an edge in the maps that estimators give."""
LONGEST_FRINGE = 8
"""Pixels between the sides of an edge at most, in pixels of the small map."""
_RADIUS = 2
"""Half the window, in pixels of the small map, where no edge is blurred."""
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
_BETWEEN = 0.04
"""Share of the step by which a pixel differs from both neighbors at least, if it is on the ramp between the sides."""
_STEEP = 1.4
"""How much steeper than a plane a ramp is, in the middle of the pixels that are looked at."""
_TAIL = 0.04
"""Relative change to the next pixel down to which the ends of a ramp belong to it."""
_UNSURE = 1e-4
"""Weight of a pixel on a ramp, for windows that contain nothing else."""
_PLAIN, _STEPPED, _BLURRED = 0, 1, 2
"""What is around a pixel of the small map: no edge, a sharp one, a blurred one."""


def upsample(
    maps: tuple[NDArray[np.float32], ...],
    plate: NDArray[np.float32],
    *,
    fringe: int | None = None,
    least: float = 0.0,
    guided: bool = True,
    threads: int | None = None,
) -> tuple[NDArray[np.float32], ...]:
    """Bring maps to the size of an image whose edges they should follow.

    Parameters
    ----------
    maps : tuple of [h, w] float32
        Maps of the same frame; the steps of the first one apply to all of them.
    plate : [H, W, 3] float32
        Display-referred RGB, 0 to 1; as large as the maps, larger, or smaller by no more than the rounding of a
        working size.
    fringe : int or None
        How many pixels of the maps may lie between the two sides of an edge: they take either side's value. 0: all
        pixels are right. None: `FRINGE`, or 0 where the maps have the plate's size. With 0 those are returned as they
        are.
    least : float
        A smaller difference is no step, whatever the values are: where they have no zero, as relative disparity.
    guided : bool
        Whether edges follow the plate's; else they lie in the middle between pixels of different sides.
    threads : int or None
        None: as many as there are cores, up to 8.

    Returns
    -------
    tuple of [H, W] float32
        Every value lies within those of the map's pixels around it.
    """
    height, width = plate.shape[:2]
    small = np.stack(maps).astype(np.float32, copy=False)
    is_full = small.shape[1:] == (height, width)
    fringe = min((0 if is_full else FRINGE) if fringe is None else fringe, LONGEST_FRINGE)
    if is_full and not fringe:
        return maps
    plate = plate.astype(np.float32, order="C", copy=False)
    guide = cv2.resize(plate, (small.shape[2], small.shape[1]), interpolation=cv2.INTER_AREA)
    ramps = _ramps(small[0], fringe, least) if fringe else np.zeros(small.shape[1:], np.bool_)
    radius = _RADIUS + (fringe + 1) // 2
    around = _surroundings(small[0], ramps, radius, least)
    trust = np.where(ramps, np.float32(_UNSURE), np.float32(1))
    result = np.empty((len(maps), height, width), np.float32)
    settings = (radius, DISTANCE * (1 + fringe / 2), guided, np.float32(least))
    threads = threads or min(os.cpu_count() or 1, 8)
    bounds = np.linspace(0, height, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda rows: _fill(small, guide, plate, around, trust, settings, result, *rows),
                itertools.pairwise(bounds),
            )
        )
    return tuple(result)


def _surroundings(
    values: NDArray[np.float32], ramps: NDArray[np.bool_], radius: int, least: float
) -> NDArray[np.uint8]:
    """What is around each pixel of a map [h, w]: `_PLAIN`, `_STEPPED` or `_BLURRED`."""

    def kernel(reach: int) -> NDArray[np.uint8]:
        return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)

    high, low = cv2.dilate(values, kernel(_RADIUS)), cv2.erode(values, kernel(_RADIUS))
    step = np.maximum(_STEP * np.maximum(np.abs(high), np.abs(low)), np.float32(least))
    around = np.where(high - low > step, np.uint8(_STEPPED), np.uint8(_PLAIN))
    around[cv2.dilate(ramps.astype(np.uint8), kernel(radius)) > 0] = _BLURRED
    return around


@exact
def _ramps(values, fringe, least):  # type: ignore[no-untyped-def]
    """Pixels [h, w] that lie between the two sides of a blurred edge.

    Along each of four directions such a pixel lies above one neighbor and below the other by a share of the step around
    it, and the way between the two neighbors is a larger part of that step than it would be of a plane's: that rises by
    2 pixels' worth of the 2 (fringe + 1) which are looked at, or of fewer at the image's border.
    """
    h, w = values.shape
    found = np.zeros((h, w), np.bool_)
    for y in range(h):
        for x in range(w):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if not (y - dy >= 0 and y + dy < h and min(x - dx, x + dx) >= 0 and max(x - dx, x + dx) < w):
                    continue
                before, after = values[y, x] - values[y - dy, x - dx], values[y + dy, x + dx] - values[y, x]
                if before * after <= 0:
                    continue
                low, high, seen = values[y, x], values[y, x], -1
                for i in range(-fringe - 1, fringe + 2):
                    j, k = y + i * dy, x + i * dx
                    if 0 <= j < h and 0 <= k < w:
                        low, high, seen = min(low, values[j, k]), max(high, values[j, k]), seen + 1
                step = high - low
                if step <= max(_STEP * max(abs(low), abs(high)), least):
                    continue
                if abs(before + after) < _STEEP * 2 / seen * step:
                    continue
                if min(abs(before), abs(after)) < _BETWEEN * step:
                    continue
                found[y, x] = True
                for side in (-1, 1):  # the ends of the ramp, where it flattens out
                    for i in range(1, fringe // 2 + 1):
                        j, k = y + side * i * dy, x + side * i * dx
                        following, next_k = j + side * dy, k + side * dx
                        if not (0 <= following < h and min(k, next_k) >= 0 and max(k, next_k) < w):
                            break
                        change = side * (values[following, next_k] - values[j, k])
                        scale = max(abs(values[following, next_k]), abs(values[j, k]), least)
                        if change * before <= 0 or abs(change) < _TAIL * scale:
                            break
                        found[j, k] = True
    return found


@exact
def _fill(small, guide, plate, around, trust, settings, result, first, last):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Fill the rows `first` to `last` - 1 of `result`."""
    radius, reach, guided, least = settings
    count, h, w = small.shape
    height, width = plate.shape[:2]
    size = (2 * radius + 1) ** 2
    at, weights, values = np.empty((size, 2), np.int64), np.empty(size), np.empty(size)
    order = np.empty(size, np.int64)
    for y in range(first, last):
        v = (y + 0.5) * h / height - 0.5  # the full-size pixel's center on the small map
        for x in range(width):
            u = (x + 0.5) * w / width - 0.5
            kind = around[min(max(int(np.floor(v + 0.5)), 0), h - 1), min(max(int(np.floor(u + 0.5)), 0), w - 1)]
            if kind == _PLAIN:
                for m in range(count):
                    result[m, y, x] = _bilinear(small[m], v, u)
                continue
            window = (radius, reach) if kind == _BLURRED else (_RADIUS, DISTANCE)
            taken = _weigh(guide, trust, plate[y, x], v, u, window, guided, at, weights)
            for k in range(taken):
                values[k] = small[0, at[k, 0], at[k, 1]]
            low, high = _bounds(values[:taken], weights[:taken])
            if high - low > max(_STEP * max(abs(low), abs(high)), least):
                _choose_side(values[:taken], weights[:taken], order[:taken], _SIDE * (high - low))
            for m in range(count):
                for k in range(taken):
                    values[k] = small[m, at[k, 0], at[k, 1]]
                result[m, y, x] = _plane(values[:taken], weights[:taken], at, v, u)


@exact
def _bilinear(values, v, u):  # type: ignore[no-untyped-def]
    """The value at (v, u) between the four pixels around it, the outermost ones extended."""
    h, w = values.shape
    v, u = min(max(v, 0.0), h - 1.0), min(max(u, 0.0), w - 1.0)
    j, i = min(int(v), max(h - 2, 0)), min(int(u), max(w - 2, 0))
    below, right = min(j + 1, h - 1), min(i + 1, w - 1)
    fv, fu = v - j, u - i
    top = values[j, i] + (values[j, right] - values[j, i]) * fu
    bottom = values[below, i] + (values[below, right] - values[below, i]) * fu
    return top + (bottom - top) * fv


@exact
def _weigh(guide, trust, color, v, u, window, guided, at, weights):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Fill in the small map's pixels around (v, u) and their weights; return their number."""
    h, w = guide.shape[:2]
    radius, reach = window
    near, alike = -0.5 / (reach * reach), -0.5 / (COLOR * COLOR)
    top, left = int(np.floor(v + 0.5)) - radius, int(np.floor(u + 0.5)) - radius
    taken = 0
    for j in range(max(top, 0), min(top + 2 * radius + 1, h)):
        for i in range(max(left, 0), min(left + 2 * radius + 1, w)):
            difference = 0.0
            if guided:
                for c in range(3):
                    difference += (color[c] - guide[j, i, c]) ** 2
            at[taken, 0], at[taken, 1] = j, i
            distance = (j - v) ** 2 + (i - u) ** 2
            weights[taken] = trust[j, i] * np.exp(near * distance) * (np.exp(alike * difference) + _FLOOR)
            taken += 1
    return taken


@exact
def _bounds(values, weights):  # type: ignore[no-untyped-def]
    """Smallest and largest of the values that count."""
    least = _COUNTED * weights.max()
    low, high = np.inf, -np.inf
    for k in range(len(values)):
        if weights[k] >= least:
            low, high = min(low, values[k]), max(high, values[k])
    return low, high


@exact
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


@exact
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
